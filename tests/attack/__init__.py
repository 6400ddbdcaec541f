"""What somebody tries who means harm, over HTTP: each test attacks one thing and says what has to hold."""
