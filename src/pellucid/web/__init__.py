"""The local page: drop a picture, follow its path; served by this computer to this computer alone.

`local_model` answers, `uploads` reads what is sent, `guard` refuses what other sites send,
`application` joins them, `server` listens. It needs the extra ``serve``; nothing here is imported
unless it is asked for.
"""
