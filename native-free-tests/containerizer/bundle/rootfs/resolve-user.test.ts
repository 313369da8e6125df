import { describe, expect, it } from 'vitest';
import { resolveUser, userNames } from '#src/containerizer/bundle/rootfs/resolve-user.js';
import { rootfsOf, type Tree } from './rootfs-tree.js';

const PASSWD = [
  'root:x:0:0:root:/root:/bin/sh',
  '# a comment:x:5:5::/:',
  'odd',
  'odder:x:many:5::/:',
  'largest:x:4294967295:5::/:',
  'alice:x:1000:1001:Alice:/home/alice:/bin/sh',
  'alice:x:6:6::/second:',
  '2000:x:3000:3000::/named-like-a-number:',
  `${'x'.repeat(70_000)}:x:9:9::/:`,
  'windows:x:12:13::/home/w:/bin/sh\r',
  'homeless:x:14:14::relative:',
].join('\n');
const GROUP = ['root:x:0:', 'staff:x:50:alice,bob', 'odd', 'video:x:44:bob,alice', 'bob:x:1002:bob', 'none:x:99:'].join(
  '\n',
);
const WHOLE: Tree = { 'etc/passwd': PASSWD, 'etc/group': GROUP };
const userOf = (wanted: string, tree: Tree = WHOLE) => resolveUser(rootfsOf(tree).view, wanted);
const UNKNOWN = expect.objectContaining({ code: 'ERR_USER_UNKNOWN', hint: expect.any(String) });

describe('the user of a program', () => {
  it.each<[string, number, number, number[], string]>([
    ['', 0, 0, [0], '/root'],
    ['root', 0, 0, [0], '/root'],
    ['alice', 1000, 1001, [1001, 50, 44], '/home/alice'],
    ['1000', 1000, 1001, [1001, 50, 44], '/home/alice'],
    ['alice:staff', 1000, 50, [50], '/home/alice'],
    ['alice:77', 1000, 77, [77], '/home/alice'],
    ['alice:', 1000, 1001, [1001, 50, 44], '/home/alice'],
    [':staff', 0, 50, [50], '/root'],
    ['4242', 4242, 0, [0], '/'],
    ['4242:99', 4242, 99, [99], '/'],
    ['2000', 2000, 0, [0], '/'],
    ['4294967294:4294967294', 4294967294, 4294967294, [4294967294], '/'],
    ['windows', 12, 13, [13], '/home/w'],
    ['homeless', 14, 14, [14], '/'],
  ])('%j has uid %d, gid %d, groups %j and home %s', (wanted, uid, gid, additionalGids, home) => {
    expect(userOf(wanted)).toEqual({ uid, gid, additionalGids, home });
  });

  it.each([
    'nobody-here',
    'alice:nobody-here',
    'odder',
    'largest',
    '-1',
    '4294967295',
    '0:4294967295',
    '99999999999999999999',
    'alice:a:b',
    ' alice',
  ])('%j is unknown', (wanted) => {
    expect(() => userOf(wanted)).toThrow(UNKNOWN);
  });

  it('may be a number where the image has no files of users', () => {
    expect(userOf('12:13', {})).toEqual({ uid: 12, gid: 13, additionalGids: [13], home: '/' });
    expect(userOf('', {})).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/' });
  });

  it.each<[string, Tree]>([
    ['leads out', { 'etc/passwd': { link: 'OUTSIDE/passwd' } }],
    ['leads out by way of its directory', { etc: { link: 'OUTSIDE' } }],
    ['leads out by ..', { 'etc/passwd': { link: '../../outside/passwd' } }],
    ['is a pipe', { 'etc/passwd': { pipe: true } }],
    ['goes round', { 'etc/passwd': { link: 'passwd' } }],
    ['is a directory', { 'etc/passwd': {} }],
    ['leads into a process', { 'etc/passwd': { link: '/proc/self/root/etc/passwd' }, proc: {} }],
  ])('is never found in a file that %s', (_, tree) => {
    expect(() => userOf('spy', tree)).toThrow(UNKNOWN);
    expect(userOf('7', tree)).toMatchObject({ uid: 7, gid: 0, home: '/' });
  });

  it('is not looked for in a file of more than a megabyte, which would hold up this process', () => {
    const tree = { 'etc/passwd': `${PASSWD}\n`.padEnd(2 ** 20 + 1, '\n'), 'etc/group': ''.padEnd(2 ** 20 + 1, '\n') };
    expect(() => userOf('alice', tree)).toThrow(/more than the 1048576 that are read/);
    expect(() => userOf('0:staff', tree)).toThrow(/more than the 1048576 that are read/);
    expect(userOf('1000', tree)).toMatchObject({ uid: 1000, gid: 0 });
    expect(userNames(rootfsOf(tree).view).size).toBe(0);
  });

  it('is found behind many lines with nothing in them', () => {
    const lines = ''.padEnd(2 ** 20 - PASSWD.length, '\n');
    expect(userOf('alice', { 'etc/passwd': lines + PASSWD })).toMatchObject({ uid: 1000 });
  });

  it('has the first of several names', () => {
    const names = userNames(rootfsOf({ 'etc/passwd': 'one:x:5:5::/:\ntwo:x:5:5::/:\n' }).view);
    expect([...names]).toEqual([[5, 'one']]);
  });

  it('is found by a link inside the root filesystem', () => {
    const tree = { etc: { link: '/usr/etc' }, 'usr/etc/passwd': PASSWD };
    expect(userOf('alice', tree)).toMatchObject({ uid: 1000, additionalGids: [1001] });
  });
});
