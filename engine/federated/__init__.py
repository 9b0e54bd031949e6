"""Sites that train one model together and keep their cases to themselves."""
