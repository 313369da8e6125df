import { describe, expect, it } from 'vitest';
import { imageKeepers, layerKeepers } from '#src/prune/keepers.js';
import { digestOf } from '../contracts/metadata-records.js';
import { containerOf, imageId, imageOf } from './records.js';

describe('what keeps images', () => {
  it('is pins, and the containers made of them, whose records need not be complete', async () => {
    const keepers = await imageKeepers({
      images: [imageOf('app', [], { pinned: true }), imageOf('free', [])],
      containers: [containerOf('job', { app: [], gone: [] })],
    });
    expect(keepers.get(imageId('app'))).toEqual([
      { kind: 'pinned' },
      { kind: 'container', container: 'job', owner: 'agent' },
    ]);
    expect(keepers.has(imageId('free'))).toBe(false);
    expect(keepers.get(imageId('free'))).toEqual([]);
    // An image that has gone meanwhile is named all the same: it may come back before it is looked at again.
    expect(keepers.has(imageId('gone'))).toBe(true);
  });
});

describe('what keeps layers', () => {
  it('is the images that stay, the containers, and the pulls, each told once', async () => {
    const keepers = await layerKeepers(
      {
        containers: [containerOf('job', { app: ['base', 'base'], other: ['base'] })],
        leases: [{ pull: 'p', process: '1', since: 9, layers: ['base', 'new'].map(digestOf) }],
      },
      [imageOf('app', ['base', 'top', 'base'], { names: ['app:v1'] })],
    );
    expect(keepers.get(digestOf('base'))).toEqual([
      { kind: 'image', image: imageId('app'), names: ['app:v1'] },
      { kind: 'container', container: 'job', owner: 'agent' },
      { kind: 'pull', pull: 'p', process: '1', since: 9 },
    ]);
    expect(keepers.get(digestOf('top')).map(({ kind }) => kind)).toEqual(['image']);
    expect(keepers.get(digestOf('new')).map(({ kind }) => kind)).toEqual(['pull']);
    expect(keepers.get(digestOf('other'))).toEqual([]);
  });
});
