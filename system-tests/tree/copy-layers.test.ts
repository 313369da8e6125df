import fs, { constants, lstatSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CopyLayersOptions, copyLayers } from '#src/files/tree/copying/copy-layers.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';
import { copyInThreads } from './in-threads.js';
import { aclWithUser, CAP_NET_RAW, LayerBuilder } from './layer-builder.js';

const { S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } = constants;
const ACL = 'system.posix_acl_access';

describe('copying layers as root', () => {
  let directory: string;
  const at = (name: string) => join(directory, name);
  const empty = (name: string) => {
    mkdirSync(at(name), { recursive: true });
    return at(name);
  };
  const options = (layers: readonly string[], target: string): CopyLayersOptions => ({
    layers: layers.map(at),
    target: empty(target),
    whiteouts: 'trusted',
    privileged: true,
  });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'copy-layers-'));
  });
  afterEach(() => {
    loadSyscalls().detachMount(at('mounted'));
    removeTree(directory);
  });

  function buildStack(): string[] {
    new LayerBuilder(at('bottom'))
      .file('etc/hosts', 'bottom')
      .file('etc/only-below')
      .file('etc/removed-above')
      .file('etc/removed-twice')
      .file('usr/bin/su', 'su', 0o4755)
      .owner('usr/bin/su', 0, 7)
      .file('usr/bin/ping', 'ping', 0o755)
      .xattr('usr/bin/ping', 'security.capability', CAP_NET_RAW)
      .file('usr/bin/write', 'write', 0o2755)
      .owner('usr/bin/write', 3, 5)
      .directory('tmp', 0o1777)
      .file('opaque-above/gone')
      .file('opaque-above/deep/gone')
      .file('nested/a/b/c/gone')
      .file('nested/a/kept')
      .directory('becomes-file')
      .file('becomes-file/gone')
      .file('becomes-directory')
      .file('becomes-symlink')
      .symlink('symlink-becomes-directory', 'etc')
      .file('file-between/below')
      .file('gone-between/below')
      .file('links/one', 'shared')
      .hardLink('links/two', 'links/one')
      .hardLink('elsewhere/three', 'links/one')
      .file('half/hidden', 'half')
      .hardLink('half/shown', 'half/hidden')
      .symlink('links/symlink', '/nowhere')
      .hardLink('links/symlink-too', 'links/symlink')
      .node('links/fifo', S_IFIFO)
      .hardLink('links/fifo-too', 'links/fifo')
      .node('dev/null', S_IFCHR, 1, 3)
      .node('dev/far', S_IFBLK, 4095, 1048575)
      .node('run/fifo', S_IFIFO)
      .file('names/caf\xe9', 'latin1')
      .file('names/caf\xc3\xa9', 'utf8')
      .file('names/new\nline \x01 "quoted"')
      .file('.wh.is-a-name-like-any-other')
      .directory('names/\xff\xfe')
      .file('names/\xff\xfe/inside')
      .file('xattrs/binary')
      .xattr('xattrs/binary', 'user.bytes', Buffer.from([0, 255, 10, 0]))
      .xattr('xattrs/binary', 'user.empty', '')
      .xattr('xattrs/binary', 'trusted.kept', 'yes')
      .xattr('xattrs', 'user.on-directory', 'yes')
      .xattr('xattrs', 'system.posix_acl_default', aclWithUser())
      .file('xattrs/acl', 'acl', 0o640)
      .xattr('xattrs/acl', ACL, aclWithUser())
      .file('xattrs/not-for-rootfs')
      .xattr('xattrs/not-for-rootfs', 'trusted.overlay.origin', 'x')
      .symlink('xattrs/symlink', 'target')
      .xattr('xattrs/symlink', 'trusted.on-symlink', 'yes')
      .directory('setgid', 0o2775)
      .owner('setgid', 0, 99)
      .file('setgid/inside')
      .directory('empty', 0o500);
    new LayerBuilder(at('middle'))
      .whiteout('etc/removed-above')
      .whiteout('etc/removed-twice')
      .file('etc/hosts', 'middle')
      .opaque('opaque-above')
      .file('opaque-above/new')
      .opaque('nested/a/b')
      .file('nested/a/b/new')
      .file('becomes-directory/now')
      .file('becomes-file', 'file')
      .symlink('becomes-symlink', 'etc/hosts')
      .file('symlink-becomes-directory/inside')
      .file('file-between', 'hides the directory below')
      .whiteout('gone-between')
      .whiteout('half/hidden')
      .directory('tmp', 0o700)
      .file('links/one', 'one of its own');
    new LayerBuilder(at('top'))
      .whiteout('etc/removed-twice')
      .file('etc/added')
      .directory('etc', 0o750)
      .owner('etc', 12, 34)
      .directory('tmp', 0o1777)
      .directory('file-between')
      .file('file-between/above')
      .file('gone-between/above')
      .file('nested/a/b/newer')
      .times('etc/added', 1_000_000_000, 1_500_000_000, 123_456_789)
      .times('nested/a/b/newer', 5, -5, 999_999_999)
      .times('etc', 1_234_567_890, 1_234_567_891, 1)
      .directory('', 0o711)
      .times('', 1_111_111_111, 1_111_111_112, 7);
    return ['bottom', 'middle', 'top'];
  }

  function mountOverlayOf(layers: readonly string[]): string {
    // An overlay's root has the attributes of its upper directory.
    new LayerBuilder(at('upper')).directory('', 0o711).times('', 1_111_111_111, 1_111_111_112, 7);
    loadSyscalls().mountOverlay({
      lower: layers.map(at).reverse(),
      upper: at('upper'),
      work: empty('work'),
      target: empty('mounted'),
    });
    return at('mounted');
  }

  it('makes what an overlay mount of the same layers shows', () => {
    const layers = buildStack();
    const { entries, skipped } = copyLayers(options(layers, 'copy'));
    const copy = snapshotTree(at('copy'));
    expect(treeDifferences(snapshotTree(mountOverlayOf(layers)), copy)).toEqual([]);
    expect(copy.length).toBeGreaterThan(55);
    expect(entries).toBe(copy.length - 1);
    expect(skipped).toEqual({ owners: 0, devices: 0, xattrs: 0, sockets: 0 });
  });

  it('makes the same tree with two and with three threads', async () => {
    const layers = buildStack();
    copyLayers(options(layers, 'alone'));
    const alone = snapshotTree(at('alone'));
    for (const threads of [2, 3]) {
      const { target, ...rest } = options(layers, `with-${threads}`);
      const results = await copyInThreads(threads, { target, ...rest });
      expect(treeDifferences(alone, snapshotTree(target))).toEqual([]);
      expect(results.reduce((sum, { entries }) => sum + entries, 0)).toBe(alone.length - 1);
    }
  });

  it('counts a layer that is in the stack twice as its topmost copy only', () => {
    new LayerBuilder(at('a')).file('same', 'a').file('only-in-a');
    new LayerBuilder(at('b')).file('same', 'b').whiteout('only-in-a');
    copyLayers(options(['a', 'b', 'a'], 'copy'));
    expect(readFileSync(join(at('copy'), 'same'), 'utf8')).toBe('a');
    expect(readFileSync(join(at('copy'), 'only-in-a'), 'utf8')).toBe('only-in-a');
  });

  it('hides all layers below one whose root is opaque', () => {
    new LayerBuilder(at('a')).file('below');
    new LayerBuilder(at('b')).file('above').opaque('');
    copyLayers(options(['a', 'b'], 'copy'));
    expect(snapshotTree(at('copy')).map(({ path }) => path)).toEqual(['.', 'above']);
  });

  it('keeps access times, and leaves those of the layer alone', () => {
    new LayerBuilder(at('a'))
      .file('file')
      .symlink('symlink', 'file')
      .times('file', 1_000_000_000, 1_100_000_000, 987_654_321)
      .times('symlink', 1_000_000_001, 1_100_000_000, 987_654_321)
      .times('', 1_000_000_002, 1_100_000_000, 987_654_321);
    const accessed = (layer: string) =>
      ['file', 'symlink', ''].map((name) => lstatSync(join(at(layer), name), { bigint: true }).atimeNs);
    const before = accessed('a');
    copyLayers(options(['a'], 'copy'));
    const expected = [1_000_000_000n, 1_000_000_001n, 1_000_000_002n].map((s) => s * 1_000_000_000n + 987_654_321n);
    expect(accessed('copy')).toEqual(expected);
    // Whether the link's own time stays is the kernel's: no call asks to leave it alone.
    expect([before[0], before[2]]).toEqual([accessed('a')[0], accessed('a')[2]]);
  });

  it('keeps holes, at the start, between data and at the end', () => {
    new LayerBuilder(at('a')).file('sparse', '');
    const { openSync, writeSync, ftruncateSync, closeSync } = fs;
    const descriptor = openSync(join(at('a'), 'sparse'), 'w');
    writeSync(descriptor, Buffer.alloc(4096, 1), 0, 4096, 8 * 1024 * 1024);
    writeSync(descriptor, Buffer.alloc(4096, 2), 0, 4096, 24 * 1024 * 1024);
    ftruncateSync(descriptor, 64 * 1024 * 1024);
    closeSync(descriptor);
    copyLayers(options(['a'], 'copy'));
    expect(treeDifferences(snapshotTree(at('a')), snapshotTree(at('copy')))).toEqual([]);
    expect(lstatSync(join(at('copy'), 'sparse')).blocks * 512).toBeLessThanOrEqual(64 * 1024);
  });

  it('leaves sockets out, and says so', () => {
    new LayerBuilder(at('a')).node('run/socket', S_IFSOCK).file('run/file');
    const { skipped } = copyLayers(options(['a'], 'copy'));
    expect(skipped.sockets).toBe(1);
    expect(snapshotTree(at('copy')).map(({ path }) => path)).toEqual(['.', 'run', 'run/file']);
  });

  it('gives no file the access control list that the target would pass on', () => {
    new LayerBuilder(at('a')).file('sub/file');
    new LayerBuilder(at('copy')).xattr('', 'system.posix_acl_default', aclWithUser());
    copyLayers(options(['a'], 'copy'));
    expect(snapshotTree(at('copy')).flatMap(({ xattrs }) => xattrs)).toEqual([]);
  });

  it('copies 2000 directories within each other', () => {
    const path = Array.from({ length: 2000 }, () => 'd').join('/');
    new LayerBuilder(at('a')).file(`${path.slice(0, -2)}/f`);
    const { entries } = copyLayers(options(['a'], 'copy'));
    expect(entries).toBe(2000);
    expect(treeDifferences(snapshotTree(at('a')), snapshotTree(at('copy')))).toEqual([]);
    expect(removeTree(at('copy')).entries).toBe(2001);
  });

  it('copies a large directory that two layers make up', () => {
    const lower = new LayerBuilder(at('a'));
    const upper = new LayerBuilder(at('b'));
    for (let index = 0; index < 2000; index++) lower.file(`many/${index}`, '');
    for (let index = 1000; index < 3000; index++) upper.file(`many/${index}`, 'b');
    const { entries, bytes } = copyLayers(options(['a', 'b'], 'copy'));
    expect({ entries, bytes }).toEqual({ entries: 3001, bytes: 2000 });
  });
});
