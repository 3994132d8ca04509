#!/bin/sh
# Runs once, when the data directory is made: the cluster becomes the stanza `db` before its first WAL is archived.
# A repository that has this cluster already is fine; one of another cluster stops the start, as it should.
exec pgstrata --stanza=db --log-level-stderr=info stanza-create
