module guesthouse.test/guest

go 1.19
