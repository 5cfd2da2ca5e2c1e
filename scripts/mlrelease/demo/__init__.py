"""The whole story on one machine: `story` tells its `chapters`, `load` asks all the while, `models` trains what is deployed."""
