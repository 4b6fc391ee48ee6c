module guesthouse/freebsd

go 1.20
