"""Reports a person can read: one self-contained HTML file each, with no network request.

What a page shows (`contents`), where it stands (`tree_layout`) and how it is drawn (`tree_svg`,
`picture_svg`, `curves`, `templates/`) are kept apart, so that each can change alone. `interactive`
is the tree as a view to work with, drawn by a script inside the page; where scripts are off, the
page shows the same as still pictures.
"""
