import { describe, expect, it } from 'vitest';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import type { FileTree } from '#src/system/syscalls/syscalls.js';
import { useLayers } from '../helpers/layers.js';
import { archive, base256, entry, header, pax } from '../helpers/raw-tar.js';

const NAMES = [
  'opaque',
  'redirect',
  'metacopy',
  'origin',
  'impure',
  'nlink',
  'upper',
  'uuid',
  'protattr',
  'overlay.opaque',
  'xwhiteouts',
];

/** Notes which attributes are set, and keeps none. */
class NotingSyscalls extends NativeFreeSyscalls {
  readonly set: string[] = [];

  override openTree(directory: string): FileTree {
    const tree = super.openTree(directory);
    tree.setXattr = (_path, name) => {
      this.set.push(name);
    };
    return tree;
  }
  override setXattr(): void {
    // The layer's root loses its ACLs.
  }
}

describe('an image that speaks to overlay by its own attributes', () => {
  const layers = useLayers();

  it.each(['trusted.overlay.', 'user.overlay.'])('is not heard: %s', async (prefix) => {
    const records = Object.fromEntries(NAMES.map((name) => [`SCHILY.xattr.${prefix}${name}`, 'y']));
    const syscalls = new NotingSyscalls();
    const { skipped } = await layers.unpack(
      archive(
        pax(records),
        entry({ name: 'f' }),
        pax(records),
        header({ name: 'd', type: '5' }),
        pax(records),
        header({ name: './', type: '5' }),
      ),
      { syscalls },
    );
    expect(syscalls.set).toEqual([]);
    expect(skipped.xattrs).toBe(3 * NAMES.length);
  });

  it('is not heard in the other way of writing attributes, nor from a global header', async () => {
    const syscalls = new NotingSyscalls();
    const { skipped } = await layers.unpack(
      archive(
        pax({ 'LIBARCHIVE.xattr.trusted%2eoverlay.redirect': 'eQ' }, 'g'),
        pax({ 'LIBARCHIVE.xattr.trusted%2eoverlay.redirect': 'eQ' }),
        header({ name: 'd', type: '5' }),
        entry({ name: 'f' }),
      ),
      { syscalls },
    );
    expect(syscalls.set).toEqual([]);
    expect(skipped.xattrs).toBe(1);
  });

  it('keeps attributes that only look like them', async () => {
    const syscalls = new NotingSyscalls();
    await layers.unpack(
      archive(pax({ 'SCHILY.xattr.user.overlay': 'y', 'SCHILY.xattr.user.overlays.a': 'y' }), entry({ name: 'f' })),
      { syscalls },
    );
    expect(syscalls.set).toEqual(['user.overlay', 'user.overlays.a']);
  });
});

describe('a device that overlay would take for a whiteout', () => {
  const layers = useLayers();

  it('hides what is below, and says so, in place of what the layer had', async () => {
    const { tree, skipped, whiteouts } = await layers.unpack(
      archive(entry({ name: 'a' }, 'x'), header({ name: 'a', type: '3' })),
    );
    expect(tree).toEqual({ '.': 'directory 755', '.wh.a': 'file 600' });
    expect(skipped.devices).toBe(1);
    expect(whiteouts).toBe(true);
  });

  it('gives way to a later entry', async () => {
    expect((await layers.unpack(archive(header({ name: 'a', type: '3' }), entry({ name: 'a' }, 'x')))).tree['a']).toBe(
      'file 644 x',
    );
  });

  it('cannot be made from numbers that the kernel would cut off', async () => {
    for (const [major, minor] of [
      [base256(2n ** 32n, 8), 0],
      [4096, 0],
      [0, base256(2n ** 32n, 8)],
      [0, 1 << 20],
    ] as const) {
      expect((await layers.refusal(archive(header({ name: 'a', type: '3', major, minor })))).code).toBe(
        'ERR_LAYER_MALFORMED',
      );
    }
  });
});
