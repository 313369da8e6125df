// @ts-check
// What `scenario.mjs` pulls: one image with all that a file system may be unable to hold, and one that is plain.
import { buildImage, buildLayer, FIXED_TIME, writeOciLayout } from '../../fixtures/image-builder.mjs';

/** @param {string} directory of the layout */
export async function writeImages(directory) {
  const base = buildLayer([
    { path: './', mode: 0o755 },
    { path: 'gone', content: 'to be deleted' },
    { path: 'opaque/' },
    { path: 'opaque/old', content: 'to be hidden' },
    { path: 'owned', uid: 1000, gid: 1001, content: 'mine' },
    { path: 'setuid', mode: 0o4755, content: '#!/bin/sh\n' },
    { path: 'null', type: 'character', major: 1, minor: 3 },
    { path: 'fifo', type: 'fifo' },
    { path: 'timed', mtime: `${FIXED_TIME}.123456789`, content: 'to the nanosecond' },
    { path: 'marked', xattrs: { 'user.mark': 'yes' }, content: 'marked' },
    { path: 'one', content: 'linked' },
    { path: 'other', type: 'hardlink', target: 'one' },
  ]);
  const top = buildLayer([
    { path: '.wh.gone' },
    { path: 'opaque/' },
    { path: 'opaque/.wh..wh..opq' },
    { path: 'opaque/new', content: 'alone now' },
  ]);
  const plain = buildLayer([{ path: './' }, { path: 'file', content: 'x' }]);
  await writeOciLayout(directory, [
    { image: buildImage([base, top]), refName: 'whole' },
    { image: buildImage([plain]), refName: 'plain' },
  ]);
}
