#!/bin/sh
# Runs once, when the data directory is created: creates the stanza `db` before the first WAL is archived. Succeeds if the
# repository has this cluster already; a repository of another cluster stops the start.
exec pgstrata --stanza=db --log-level-stderr=info stanza-create
