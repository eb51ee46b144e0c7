#!/bin/sh
# Stands for a compiler: its output differs by the machine it runs on.
echo "Hello from $(uname -m)"
echo "TARGETPLATFORM=$1"
echo "TARGETARCH=$2"
