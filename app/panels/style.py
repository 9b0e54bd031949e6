"""The looks of panels and dialogs, on top of the theme."""

from __future__ import annotations

from app import theme

PANEL_STYLE = f"""
QMainWindow, QDialog {{ background: {theme.PANEL}; }}
QMenuBar {{ background: #10151b; padding: 2px 4px; }}
QMenuBar::item {{ padding: 4px 9px; border-radius: 4px; background: transparent; }}
QMenuBar::item:selected {{ background: {theme.RAISED}; }}
QMenu {{ background: {theme.RAISED}; border: 1px solid {theme.BORDER}; padding: 5px; }}
QMenu::item {{ padding: 5px 28px 5px 10px; border-radius: 4px; }}
QMenu::item:selected {{ background: #2b3847; }}
QMenu::item:disabled {{ color: {theme.DISABLED_TEXT}; }}
QMenu::separator {{ height: 1px; background: {theme.BORDER}; margin: 5px 6px; }}
QToolBar {{ border-bottom: 1px solid #05070a; }}
QToolBar::separator {{ width: 1px; background: {theme.BORDER}; margin: 6px 6px; }}
QSplitter::handle {{ width: 1px; height: 1px; }}
QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; }}
QScrollBar:vertical {{ width: 8px; background: transparent; }}
QScrollBar::handle:vertical {{ background: {theme.BORDER}; border-radius: 4px; min-height: 30px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; width: 0; }}
QLabel[role="heading"] {{ color: {theme.QUIET_TEXT}; font-size: 11px; font-weight: 600; }}
QLabel[role="quiet"] {{ color: {theme.QUIET_TEXT}; }}
QLabel[role="figure"] {{ font-weight: 600; }}
QLabel[role="title"] {{ font-size: 17px; font-weight: 600; }}
QLabel[role="thumbnail"] {{ background: #000000; border-radius: 4px; }}
QLabel[role="research"] {{ color: {theme.RESEARCH}; font-size: 11px; font-weight: 600;
  padding: 0 8px; }}
QLabel[role="key"] {{ background: {theme.RAISED}; border: 1px solid {theme.BORDER};
  border-radius: 4px; padding: 1px 7px; }}
QFrame[role="group"] {{ background: #11161c; border-radius: 7px; }}
QFrame[role="card"] {{ background: {theme.RAISED}; border-radius: 7px;
  border: 1px solid {theme.RAISED}; }}
QFrame[role="card"]:hover {{ border-color: {theme.BORDER}; }}
QFrame[role="card"][review="rejected"] {{ background: #171c23; border-color: #171c23; }}
QFrame[role="card"][selected="true"] {{ border-color: {theme.ACCENT}; }}
QFrame[role="line"] {{ background: #05070a; }}
QFrame[role="warning"] {{ background: #3a2d10; border-bottom: 1px solid #5a4517; }}
QFrame[role="warning"] QLabel {{ color: #ffdf9e; }}
QFrame[role="note"] {{ background: #172430; border-bottom: 1px solid #20394d; }}
QFrame[role="note"] QLabel {{ color: #b9d6ee; }}
QPushButton[role="primary"] {{ background: #1f5f96; border-color: #2f78b7; padding: 8px 12px;
  font-weight: 600; }}
QPushButton[role="primary"]:hover {{ background: #266fac; }}
QPushButton[role="primary"]:disabled {{ background: {theme.RAISED}; border-color: {theme.BORDER};
  color: {theme.DISABLED_TEXT}; }}
QPushButton:focus, QToolButton:focus {{ border: 1px solid {theme.ACCENT}; }}
QToolButton {{ padding: 4px 6px; border: 1px solid transparent; }}
LayerRow QToolButton:checked {{ background: #28323e; border-color: {theme.BORDER}; }}
LayerRow QToolButton:!checked {{ background: transparent; }}
QSlider::groove:horizontal {{ height: 4px; background: {theme.BORDER}; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: #4d7fa8; border-radius: 2px; }}
QSlider::handle:horizontal {{ width: 12px; height: 12px; margin: -4px 0; border-radius: 6px;
  background: {theme.TEXT}; }}
QListWidget {{ background: transparent; border: 0; outline: 0; }}
QListWidget::item {{ border-radius: 5px; }}
QListWidget::item:selected {{ background: #1d3a55; color: {theme.TEXT}; }}
QListWidget::item:hover:!selected {{ background: {theme.RAISED}; }}
QStatusBar {{ border-top: 1px solid #05070a; }}
QStatusBar::item {{ border: 0; }}
QRadioButton::indicator {{ width: 12px; height: 12px; border-radius: 7px;
  border: 1px solid {theme.QUIET_TEXT}; background: {theme.BACKGROUND}; }}
QRadioButton::indicator:focus {{ border-color: {theme.ACCENT}; }}
QRadioButton::indicator:checked {{ border: 4px solid {theme.ACCENT}; background: {theme.TEXT};
  width: 6px; height: 6px; }}
QLineEdit {{ border: 1px solid {theme.BORDER}; border-radius: 5px; padding: 4px 6px; }}
QLineEdit:focus {{ border-color: {theme.ACCENT}; }}
QPushButton:default:disabled {{ background: {theme.RAISED}; border-color: {theme.BORDER};
  color: {theme.DISABLED_TEXT}; }}
QProgressBar {{ min-height: 6px; max-height: 6px; }}
QToolButton[role="command"] {{ padding: 5px 10px; border: 1px solid {theme.BORDER};
  background: {theme.RAISED}; }}
QToolButton[role="command"]:hover {{ background: {theme.HOVERED}; }}
QToolButton[role="command"]:checked {{ background: {theme.CHECKED}; }}
QToolButton[role="command"]:disabled {{ color: {theme.DISABLED_TEXT}; }}
QToolButton[role="primary"] {{ padding: 5px 12px; border: 1px solid #2f78b7; font-weight: 600;
  background: {theme.DEFAULT_BUTTON}; color: {theme.TEXT}; }}
QToolButton[role="primary"]:hover {{ background: #266fac; }}
QToolButton[role="primary"]:disabled {{ background: {theme.RAISED}; border-color: {theme.BORDER};
  color: {theme.DISABLED_TEXT}; }}
QToolButton[role="segment"] {{ padding: 4px 11px; border: 1px solid {theme.BORDER};
  border-left-width: 0; border-radius: 0; background: {theme.BACKGROUND}; }}
QToolButton[role="segment"][place="first"] {{ border-left-width: 1px;
  border-top-left-radius: 5px; border-bottom-left-radius: 5px; }}
QToolButton[role="segment"][place="last"] {{ border-top-right-radius: 5px;
  border-bottom-right-radius: 5px; }}
QToolButton[role="segment"][place="only"] {{ border-left-width: 1px; border-radius: 5px; }}
QToolButton[role="segment"]:hover {{ background: {theme.HOVERED}; }}
QToolButton[role="segment"]:checked {{ background: {theme.CHECKED}; }}
QToolButton[role="command"]:focus, QToolButton[role="primary"]:focus,
QToolButton[role="segment"]:focus {{ border: 1px solid {theme.ACCENT}; }}
QFrame[role="group"] QLineEdit {{ background: {theme.BACKGROUND}; }}
QLabel[role="obstacle"] {{ color: {theme.WARNING}; margin-left: 104px; }}
QLabel[role="tile"] {{ font-size: 14px; font-weight: 600; }}
QFrame[role="failure"] {{ background: #35191a; border: 1px solid #5b2a2b; border-radius: 7px; }}
QFrame[role="failure"] QLabel {{ color: #ffc9c4; border: 0; }}
QFrame[role="alarm"] {{ background: #3a2d10; border: 1px solid #5a4517; border-radius: 7px; }}
QFrame[role="alarm"] QLabel {{ color: #ffdf9e; border: 0; }}
QTabWidget::pane {{ border: 0; border-top: 1px solid {theme.BORDER}; }}
QTabBar {{ background: transparent; }}
QTabBar::tab {{ padding: 6px 14px; border: 0; border-bottom: 2px solid transparent;
  background: transparent; color: {theme.QUIET_TEXT}; }}
QTabBar::tab:selected {{ color: {theme.TEXT}; border-bottom-color: {theme.ACCENT}; }}
QTabBar::tab:hover:!selected {{ color: {theme.TEXT}; }}
QTabBar::tab:focus {{ color: {theme.ACCENT}; }}
QTableWidget {{ background: {theme.PLOT_GROUND}; border-radius: 7px; outline: 0; }}
QTableWidget::item {{ padding: 2px 8px; }}
QTableWidget QHeaderView::section {{ padding: 4px 11px; }}
QSpinBox {{ min-height: 22px; }}
QCheckBox::indicator {{ width: 13px; height: 13px; border: 1px solid {theme.QUIET_TEXT};
  border-radius: 3px; background: {theme.BACKGROUND}; }}
QCheckBox::indicator:focus {{ border-color: {theme.ACCENT}; }}
QCheckBox::indicator:checked {{ border: 4px solid {theme.ACCENT}; width: 7px; height: 7px;
  background: {theme.TEXT}; }}
QSpinBox QLineEdit {{ border: 0; padding: 0; background: transparent; }}
QTableWidget::item:selected {{ background: {theme.CHOSEN}; color: {theme.TEXT}; }}
QPlainTextEdit[role="log"] {{ background: {theme.PLOT_GROUND}; border: 0; border-radius: 7px;
  padding: 8px; }}
QPlainTextEdit[role="log"]:focus {{ border: 1px solid {theme.ACCENT}; }}
"""
