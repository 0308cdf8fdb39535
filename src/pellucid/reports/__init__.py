"""Reports a person can read: one self-contained HTML file, with no network request and no script.

What a page shows (`contents`), where it stands (`tree_layout`) and how it is drawn (`tree_svg`,
`picture_svg`, `curves`, `templates/`) are kept apart, so that each can change alone.
"""
