"""What is kept on this computer: trainings, and the systems they gave."""
