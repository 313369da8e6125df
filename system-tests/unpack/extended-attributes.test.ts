import { expect, it } from 'vitest';
import { toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { archive, entry, header, pax } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { shown, useRootedLayers } from './workbench.js';

/** `cap_net_raw=ep`, as ping has it. @see capabilities(7) */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** An ACL as the kernel takes it: version 2, then tag, permissions and id of each entry. @see acl(5) */
function acl(...entries: readonly (readonly [tag: number, permissions: number, id?: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id = 0xffff_ffff]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  }
  return bytes;
}
const OWNER = 1;
const USER = 2;
const GROUP = 4;
const MASK = 16;
const OTHER = 32;
const ACCESS = acl([OWNER, 6], [USER, 7, 1000], [GROUP, 4], [MASK, 7], [OTHER, 4]);
const DEFAULT = acl([OWNER, 7], [USER, 7, 1000], [GROUP, 5], [MASK, 7], [OTHER, 5]);
const xattr = (name: string, value: string | Uint8Array) => pax({ [`SCHILY.xattr.${name}`]: value });

describeWith(['root'], 'extended attributes', () => {
  const layers = useRootedLayers();

  it('keep any bytes, and none', async () => {
    const values = {
      'user.binary': Buffer.from([0, 1, 0x0a, 0x3d, 0xff]),
      'user.empty': '',
      'trusted.mine': 'x',
      'user.long': Buffer.alloc(2000, 7),
    };
    const records = Object.fromEntries(Object.entries(values).map(([name, value]) => [`SCHILY.xattr.${name}`, value]));
    const { at, skipped } = await layers.apply(
      archive(pax(records), entry({ name: 'f', uid: 1000 }, 'abc'), pax(records), header({ name: 'd', type: '5' })),
    );
    const expected = Object.entries(values)
      .map(([name, value]) => shown(name, value))
      .sort();
    expect(at('f').xattrs).toEqual(expected);
    expect(at('d').xattrs).toEqual(expected);
    expect(skipped.xattrs).toBe(0);
  });

  it('that the kernel takes and cannot read are no reason to refuse a layer: an empty capability', async () => {
    const { at } = await layers.apply(
      archive(pax({ 'SCHILY.xattr.security.capability': '', 'SCHILY.xattr.user.a': 'b' }), entry({ name: 'f' }, 'abc')),
    );
    expect(at('f').xattrs).toContain('user.a=62');
  });

  it('are set in the form of libarchive as well', async () => {
    const { at } = await layers.apply(
      archive(pax({ 'LIBARCHIVE.xattr.user.%61': Buffer.from('b').toString('base64') }), entry({ name: 'f' })),
    );
    expect(at('f').xattrs).toEqual(['user.a=62']);
  });

  it('on symlinks, FIFOs and devices are kept where the kernel has them', async () => {
    const parts = ['2', '6', '3'].flatMap((type) => [
      pax({ 'SCHILY.xattr.trusted.a': 'b', 'SCHILY.xattr.user.c': 'd' }),
      header({ name: `t${type}`, type, linkName: type === '2' ? 'x' : '', major: 1, minor: 3 }),
    ]);
    const { at, skipped } = await layers.apply(archive(...parts));
    for (const type of ['2', '6', '3']) expect(at(`t${type}`).xattrs).toEqual(['trusted.a=62']);
    expect(skipped.xattrs).toBe(3);
  });

  it('that are capabilities survive owner, mode and data', async () => {
    const { at } = await layers.apply(
      archive(
        xattr('security.capability', CAPABILITY),
        entry({ name: 'ping', mode: 0o755, uid: 5, gid: 6 }, 'program'),
      ),
    );
    expect(at('ping').xattrs).toEqual([shown('security.capability', CAPABILITY)]);
  });

  it("that are overlay's are left out and counted, of files, directories and the root", async () => {
    const records = {
      'SCHILY.xattr.trusted.overlay.opaque': 'y',
      'SCHILY.xattr.trusted.overlay.redirect': '/etc',
      'SCHILY.xattr.user.overlay.metacopy': '',
      'SCHILY.xattr.user.mine': 'x',
    };
    const { at, skipped } = await layers.apply(
      archive(
        pax(records),
        header({ name: './', type: '5' }),
        pax(records),
        header({ name: 'd', type: '5' }),
        pax(records),
        entry({ name: 'f' }),
      ),
    );
    for (const path of ['.', 'd', 'f']) expect(at(path).xattrs).toEqual(['user.mine=78']);
    expect(skipped.xattrs).toBe(9);
  });

  it('of a namespace that does not exist are left out and counted', async () => {
    const { at, skipped } = await layers.apply(
      archive(
        xattr('nonsense.a', 'b'),
        entry({ name: 'f' }),
        xattr('com.apple.quarantine', 'x'),
        header({ name: 'd', type: '5' }),
      ),
    );
    expect(at('f').xattrs).toEqual([]);
    expect(skipped.xattrs).toBe(2);
  });

  it.each([
    ['a capability', 'security.capability', 'nonsense', '0'],
    ['an ACL of odd length', 'system.posix_acl_access', Buffer.from([2, 0, 0, 0, 1]), '0'],
    ['an ACL with a tag that does not exist', 'system.posix_acl_access', acl([99, 7]), '0'],
    ['a default ACL of a file', 'system.posix_acl_default', DEFAULT, '0'],
    ['an ACL without an owner', 'system.posix_acl_default', acl([OTHER, 7]), '5'],
  ])('that make no sense are the fault of the layer: %s', async (_what, name, value, type) => {
    const { code, message } = await layers.refusal(archive(xattr(name, value), header({ name: 'a', type })));
    expect(code).toBe('ERR_LAYER_MALFORMED');
    expect(message).toContain(name);
  });

  it('that Linux does not know are left out and counted, such as an ACL of a version to come', async () => {
    const { skipped } = await layers.apply(archive(xattr('system.posix_acl_access', 'version'), entry({ name: 'f' })));
    expect(skipped.xattrs).toBe(1);
  });
});

describeWith(['root'], 'POSIX ACLs', () => {
  const layers = useRootedLayers();

  it('are kept, with the mode that goes with them', async () => {
    const { at } = await layers.apply(
      archive(
        xattr('system.posix_acl_access', ACCESS),
        entry({ name: 'f', mode: 0o674, uid: 5 }),
        xattr('system.posix_acl_access', ACCESS),
        header({ name: 'd', type: '5', mode: 0o674 }),
      ),
    );
    for (const path of ['f', 'd'])
      expect(at(path)).toMatchObject({ mode: '0674', xattrs: [shown('system.posix_acl_access', ACCESS)] });
  });

  it('that are the default of a directory do not leak into what is in it', async () => {
    const { at } = await layers.apply(
      archive(
        xattr('system.posix_acl_default', DEFAULT),
        header({ name: 'd', type: '5', mode: 0o755 }),
        header({ name: 'd/e', type: '5', mode: 0o700 }),
        entry({ name: 'd/f', mode: 0o604 }),
        entry({ name: 'd/implied/f', mode: 0o604 }),
        header({ name: 'd/p', type: '6', mode: 0o600 }),
      ),
    );
    expect(at('d').xattrs).toEqual([shown('system.posix_acl_default', DEFAULT)]);
    expect(at('d/e')).toMatchObject({ mode: '0700', xattrs: [] });
    expect(at('d/f')).toMatchObject({ mode: '0604', xattrs: [] });
    expect(at('d/p')).toMatchObject({ mode: '0600', xattrs: [] });
    expect(at('d/implied')).toMatchObject({ mode: '0755', xattrs: [] });
    expect(at('d/implied/f')).toMatchObject({ mode: '0604', xattrs: [] });
  });

  it('of the directories above the store do not leak into a layer', async () => {
    for (const name of ['system.posix_acl_default', 'system.posix_acl_access'])
      loadSyscalls().setXattr(toBytePath(layers.path), name, DEFAULT);
    const { at } = await layers.apply(
      archive(
        header({ name: 'd', type: '5', mode: 0o711 }),
        entry({ name: 'd/f', mode: 0o640 }),
        entry({ name: 'i/f' }),
        entry({ name: '.wh.x' }),
      ),
    );
    for (const path of ['.', 'd', 'd/f', 'i', 'i/f']) expect(at(path).xattrs, path).toEqual([]);
    expect(at('d/f').mode).toBe('0640');
    expect(at('d').mode).toBe('0711');
    expect(at('i').mode).toBe('0755');
  });
});
