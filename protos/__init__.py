"""The wire we define ourselves: `.proto` files and the modules grpcio-tools makes of them (`make protos`)."""
