"""What trains and judges `mini`, the small CLIP in the package: words, distortions, crops, network, evaluation."""
