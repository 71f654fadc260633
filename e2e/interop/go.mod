module parley/e2e/interop

go 1.26.0
