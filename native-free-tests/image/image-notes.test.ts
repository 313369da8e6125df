import { expect, it } from 'vitest';
import { imageNotes } from '#src/image/image-notes.js';

const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json' };
const LAYER = { mediaType: 'application/vnd.oci.image.layer.v1.tar' };
const notes = (manifest: object, config: object) =>
  imageNotes({
    manifest: JSON.stringify({ schemaVersion: 2, config: CONFIG, layers: [LAYER], ...manifest }),
    config: JSON.stringify({ os: 'linux', architecture: 'arm64', rootfs: { type: 'layers' }, ...config }),
    platform: 'linux/arm64',
  });

it('an image as it should be has no notes', () => {
  expect(notes({}, {})).toEqual([]);
});

it.each([
  [
    { config: { mediaType: 'text/html' } },
    {},
    'the manifest states the type "text/html" of the config, which reads as that of an image',
  ],
  [{ config: {} }, {}, 'the manifest states no type of the config, which reads as that of an image'],
  [{ layers: [LAYER, { mediaType: '' }, {}] }, {}, 'the manifest states no type of 2 of its layers'],
  [{ schemaVersion: undefined }, {}, 'the manifest does not state that it is of schema 2'],
  [
    {},
    { os: null, architecture: '' },
    'the config states no os and architecture: the image was taken for one of linux/arm64',
  ],
  [{}, { rootfs: {} }, 'the config does not state of what kind its rootfs is'],
  [{}, { config: { Cmd: 'sh' } }, 'Cmd in the config is one text in place of a list'],
])('what was put up with is told: %j %j', (manifest, config, note) => {
  expect(notes(manifest, config)).toEqual([note]);
});

it('documents that are damaged have none', () => {
  for (const text of ['', 'null', '{}', '[]', '{"layers":1}']) {
    expect(imageNotes({ manifest: text, config: text, platform: 'linux/amd64' })).toBeInstanceOf(Array);
  }
});
