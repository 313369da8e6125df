import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { archive, entry, header, pax } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { statusOf, useRootedLayers } from './workbench.js';

const TYPES = {
  file: '0',
  directory: '5',
  symlink: '2',
  fifo: '6',
  'character device': '3',
  'block device': '4',
} as const;
/** Looking at the others changes their time of access. */
const NEVER_READ = new Set(['fifo', 'character device', 'block device']);
const oneOfEach = (fields: object, records?: Record<string, string>): Uint8Array[] =>
  Object.entries(TYPES).flatMap(([name, type]) => [
    ...(records === undefined ? [] : [pax(records)]),
    header({ name, type, linkName: type === '2' ? 'target' : '', major: 1, minor: 3, ...fields }),
  ]);

describeWith(['root'], 'root gives every type of entry', () => {
  const layers = useRootedLayers();

  it('its owner and group, of 32 bits', async () => {
    for (const [uid, gid] of [
      [0, 0],
      [0, 5],
      [7, 0],
      [65534, 65535],
      [4294967294, 2147483648],
    ]) {
      const { at, skipped } = await layers.apply(archive(...oneOfEach({}, { uid: `${uid}`, gid: `${gid}` })));
      for (const type of Object.keys(TYPES)) expect(at(type), type).toMatchObject({ type, uid, gid });
      expect(skipped).toEqual({ owners: 0, devices: 0, xattrs: 0 });
    }
  });

  it('its mode, with setuid, setgid and sticky, which a change of owner would take away', async () => {
    for (const mode of [0, 0o777, 0o4755, 0o2755, 0o6711, 0o1777, 0o7777]) {
      for (const uid of [0, 1000]) {
        const { at } = await layers.apply(archive(...oneOfEach({ mode, uid, gid: uid })));
        for (const type of Object.keys(TYPES)) {
          if (type === 'symlink') continue;
          expect(at(type).mode, `${type} of ${uid}`).toBe(mode.toString(8).padStart(4, '0'));
        }
      }
    }
  });

  it('its time, to the nanosecond, also before 1970', async () => {
    for (const [text, nanoseconds] of [
      ['1700000000.123456789', 1_700_000_000_123_456_789n],
      ['0', 0n],
      ['-1.000000001', -1_000_000_001n],
      ['-86400.5', -86_400_500_000_000n],
      ['4000000000.000000001', 4_000_000_000_000_000_001n],
    ] as const) {
      const { at, rootfs } = await layers.apply(archive(...oneOfEach({}, { mtime: text, atime: '12.5' })));
      for (const type of Object.keys(TYPES)) {
        expect(at(type).mtime, `${type} at ${text}`).toBe(String(nanoseconds));
        if (NEVER_READ.has(type)) expect(statusOf(rootfs, type).atimeNs).toBe(12_500_000_000n);
      }
    }
  });

  it('what it says and not what the umask leaves of it', async () => {
    const before = process.umask();
    for (const umask of [0o077, 0o777, 0]) {
      process.umask(umask);
      try {
        const { at } = await layers.apply(archive(...oneOfEach({ mode: 0o666 }), entry({ name: 'implied/a' })));
        for (const type of Object.keys(TYPES)) if (type !== 'symlink') expect(at(type).mode).toBe('0666');
        expect(at('implied').mode).toBe('0755');
        expect(at('.').mode).toBe('0755');
      } finally {
        process.umask(before);
      }
    }
  });

  it('a device number of its own', async () => {
    const devices = [
      [1, 3],
      [8, 255],
      [254, 1048575],
      [4095, 0],
      [259, 65536],
    ] as const;
    const parts = devices.flatMap(([major, minor]) =>
      ['3', '4'].map((type) => header({ name: `${type}-${major}-${minor}`, type, major, minor })),
    );
    const { at } = await layers.apply(archive(...parts));
    for (const [major, minor] of devices) {
      const device = (BigInt(major) << 8n) | (BigInt(minor) & 0xffn) | ((BigInt(minor) & ~0xffn) << 12n);
      expect(at(`3-${major}-${minor}`)).toMatchObject({ type: 'character device', device: String(device) });
      expect(at(`4-${major}-${minor}`)).toMatchObject({ type: 'block device', device: String(device) });
    }
  });
});

describeWith(['root'], 'directories', () => {
  const layers = useRootedLayers();

  it('keep their times and modes whatever happens in them, and in which order', async () => {
    const directory = pax({ mtime: '1000.000000001' });
    const { at } = await layers.apply(
      archive(
        entry({ name: 'd/before' }),
        directory,
        header({ name: 'd', type: '5', mode: 0o500, uid: 3 }),
        entry({ name: 'd/after' }),
        entry({ name: 'd/.wh.gone' }),
        header({ name: 'd/link', linkName: 'd/after', type: '1' }),
        entry({ name: 'd/before', mode: 0o600 }),
      ),
    );
    expect(at('d')).toMatchObject({ mode: '0500', uid: 3, mtime: '1000000000001' });
    expect(at('d/before').mode).toBe('0600');
  });

  it('do not pass on their group, although they are setgid', async () => {
    const { at } = await layers.apply(
      archive(
        header({ name: 'd', type: '5', mode: 0o2775, gid: 50 }),
        header({ name: 'd/e', type: '5', mode: 0o755 }),
        entry({ name: 'd/f' }),
      ),
    );
    expect(at('d')).toMatchObject({ mode: '2775', gid: 50 });
    expect(at('d/e')).toMatchObject({ mode: '0755', gid: 0 });
    expect(at('d/f')).toMatchObject({ gid: 0 });
  });

  it('that are only implied are the same for everybody: root, 0755, the epoch', async () => {
    const { at, stacking } = await layers.apply(archive(entry({ name: 'a/b/c', uid: 5 })));
    for (const path of ['.', 'a', 'a/b'])
      expect(at(path)).toMatchObject({ mode: '0755', uid: 0, gid: 0, mtime: '0', xattrs: [] });
    expect(stacking.implied).toEqual(['', 'a', 'a/b']);
  });

  it('begin with the root, which an entry describes like any other', async () => {
    const records = { mtime: '5.5', 'SCHILY.xattr.user.a': 'b' };
    const { at, describesRoot } = await layers.apply(
      archive(pax(records), header({ name: './', type: '5', mode: 0o1711, uid: 1, gid: 2 }), entry({ name: 'a' })),
    );
    expect(at('.')).toMatchObject({ mode: '1711', uid: 1, gid: 2, mtime: '5500000000', xattrs: ['user.a=62'] });
    expect(describesRoot).toBe(true);
  });
});

describeWith(['root'], 'a hard link', () => {
  const layers = useRootedLayers();

  it('is the same inode, and says nothing about it', async () => {
    const { at, rootfs } = await layers.apply(
      archive(
        pax({ mtime: '7.5', 'SCHILY.xattr.user.a': 'b' }),
        entry({ name: 'a', mode: 0o4711, uid: 1, gid: 2 }, 'abc'),
        pax({ mtime: '9', 'SCHILY.xattr.user.a': 'other' }),
        header({ name: 'b', linkName: 'a', type: '1', mode: 0o600, uid: 3, gid: 4 }),
      ),
    );
    expect(statusOf(rootfs, 'b').ino).toBe(statusOf(rootfs, 'a').ino);
    expect(at('b')).toMatchObject({
      mode: '4711',
      uid: 1,
      gid: 2,
      mtime: '7500000000',
      xattrs: ['user.a=62'],
      linkedTo: 'a',
    });
  });

  it('may be one of every type but directories', async () => {
    const names = Object.keys(TYPES).filter((name) => name !== 'directory');
    const links = names.map((name) => header({ name: `${name} 2`, linkName: name, type: '1' }));
    const { rootfs } = await layers.apply(archive(...oneOfEach({}), ...links));
    for (const name of names) expect(statusOf(rootfs, `${name} 2`).ino, name).toBe(statusOf(rootfs, name).ino);
  });

  it('ends with a clear error when a file has more names than the file system allows', async () => {
    const links = Array.from({ length: 70_000 }, (_, index) => header({ name: `l${index}`, linkName: 'a', type: '1' }));
    // A tmpfs has no such limit.
    const code = await layers.unpack(archive(entry({ name: 'a' }), ...links)).then(
      () => 'unpacked',
      (error: { code: string }) => error.code,
    );
    expect(['unpacked', 'ERR_LIMIT_EXCEEDED']).toContain(code);
  });
});

describeWith(['root'], 'a layer below a directory with a group and mode to hand down', () => {
  const layers = useRootedLayers();
  it('takes nothing from it', async () => {
    // The store's own directories: a setgid bit is inherited by all that is made in them.
    chownSync(layers.path, 0, 77);
    chmodSync(layers.path, 0o2770);
    mkdirSync(join(layers.path, 'probe'));
    expect(statusOf(layers.path, 'probe')).toMatchObject({ gid: 77n });
    const { at } = await layers.apply(
      archive(header({ name: 'd', type: '5', mode: 0o755 }), entry({ name: 'd/f' }), entry({ name: 'e/f' })),
    );
    for (const path of ['.', 'd', 'd/f', 'e', 'e/f']) expect(at(path).gid, path).toBe(0);
    for (const path of ['.', 'd', 'e']) expect(at(path).mode, path).toBe('0755');
  });
});
