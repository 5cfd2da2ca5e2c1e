"""The whole story on one machine: `story` tells it, `load` asks all the while, `models` trains what is deployed."""
