"""What Undivided does, one function per verb: values in, values out.

Every face (the command line, and later an API, a daemon and a console) parses a request, calls a function
here and renders the value that it returns. So every decision is made here or below: which vault is opened,
which points are meant, what happens when the log is damaged, whether an objective is breached. Nothing here
prints, and nothing here reads a terminal. What a face gives:

    Workspace       the configuration directory that all verbs work with (workspace.py)
    Ask             how to ask a human for a passphrase; None where no human can answer (passphrase.py)
    Progress        what to call with the bytes done so far (progress.py)

What a face gets: values with `as_record()`, the JSON that every face answers with. Records of values from
lower rooms are made in records.py. Failures are raised as UndividedError; a failure that must not hide the
rest of the answer is a field of the value.
"""
