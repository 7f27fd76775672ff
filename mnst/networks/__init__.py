"""Networks that look at pictures: VGG19, vgg19-lite, where weights come from, distillation."""
