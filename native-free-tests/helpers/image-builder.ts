/** The builder of images for tests: the one that also makes the fixtures. */
export * from '../../fixtures/image-builder.mjs';
