import { existsSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DIRECTORY, REGULAR_FILE } from '#src/system/syscalls/tree-calls.js';
import { rootfsOf, type Tree } from './rootfs-tree.js';

const openDescriptors = () => readdirSync('/proc/self/fd').length;

describe('a path in a root filesystem', () => {
  it.each<[string, Tree, string, string, number | undefined]>([
    ['is itself where it has no link', { 'a/b': 'x' }, '/a/b', '/a/b', REGULAR_FILE],
    ['may be missing', { a: {} }, 'a/b/c', '/a/b/c', undefined],
    ['is tidied', { 'a/b': {} }, '//a/./b/', '/a/b', DIRECTORY],
    ['does not lead out by ..', { a: {} }, '/../../a/../..//a', '/a', DIRECTORY],
    [
      'does not lead out by a link of ..',
      { 'd/l': { link: '../../../../../etc' }, etc: {} },
      '/d/l',
      '/etc',
      DIRECTORY,
    ],
    [
      'goes by an absolute link from the top',
      { 'd/l': { link: '/e/f' }, 'e/f/g': 'x' },
      '/d/l/g',
      '/e/f/g',
      REGULAR_FILE,
    ],
    ['goes by a link to where nothing is', { l: { link: '/run/x' } }, '/l/y', '/run/x/y', undefined],
    ['goes by links to links', { a: { link: 'b' }, b: { link: './c' }, c: 'x' }, '/a', '/c', REGULAR_FILE],
    ['comes back from a missing directory by ..', { b: 'x' }, '/no/way/../../b', '/b', REGULAR_FILE],
    [
      'has .. of a link where the link leads',
      { l: { link: 'x/y' }, 'x/y': {}, 'x/z': 'q' },
      '/l/../z',
      '/x/z',
      REGULAR_FILE,
    ],
    ['is the top by way of nothing', {}, '', '/', DIRECTORY],
    ['may lead to the top', { l: { link: '/' } }, '/l', '/', DIRECTORY],
  ])('%s', (_, tree, path, plain, type) => {
    const before = openDescriptors();
    const { view } = rootfsOf(tree);
    expect(view.resolve(path)).toEqual({ path: plain, type, below: undefined });
    expect(openDescriptors()).toBe(before + 1);
  });

  it('never shows what lies outside', () => {
    const { view } = rootfsOf({ l: { link: 'OUTSIDE/passwd' } });
    expect(view.resolve('/l').type).toBeUndefined();
  });

  it.each<[string, Tree, string, string]>([
    ['round in links', { a: { link: 'b' }, b: { link: 'a' } }, '/a', 'ELOOP'],
    ['through a file', { a: 'x' }, '/a/b', 'ENOTDIR'],
    ['through a file, though only to come back', { a: 'x' }, '/a/..', 'ENOTDIR'],
    ['through a pipe', { a: { pipe: true } }, '/a/b', 'ENOTDIR'],
    ['to a name that is too long', {}, `/${'x'.repeat(256)}`, 'ENAMETOOLONG'],
    ['on and on', {}, '/x'.repeat(5000), 'ENAMETOOLONG'],
  ])('that leads %s is refused', (_, tree, path, code) => {
    const before = openDescriptors();
    const { view } = rootfsOf(tree);
    expect(() => view.resolve(path)).toThrow(expect.objectContaining({ code }));
    expect(openDescriptors()).toBe(before + 1);
  });

  it('that grows with each link ends', () => {
    const long = Array.from({ length: 300 }, () => 'd/..').join('/');
    const links = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`l${at}`, { link: `${long}/l${at + 1}` }]));
    const { view } = rootfsOf({ d: {}, ...links });
    expect(() => view.resolve('/l0')).toThrow(expect.objectContaining({ code: 'ENAMETOOLONG' }));
  });

  it('that comes back from far below again and again ends', () => {
    const deep = 'd/'.repeat(900);
    const { view } = rootfsOf({ [`${deep}z`]: {}, [`${deep}s`]: { link: `${'z/../'.repeat(810)}z` } });
    expect(() => view.resolve(`/${deep}s`)).toThrow(expect.objectContaining({ code: 'ENAMETOOLONG' }));
    expect(view.resolve(`/${deep}${'z/../'.repeat(8)}z`).type).toBe(DIRECTORY);
  });

  it('is taken by the letter below what will be mounted there', () => {
    const { view } = rootfsOf({ 'run/l': { link: '/etc' }, 'var/run': { link: '/run' }, etc: {} });
    expect(view.resolve('/var/run/l/x', ['/run'])).toEqual({ path: '/run/l/x', type: undefined, below: '/run' });
    expect(view.resolve('/run', ['/run'])).toEqual({ path: '/run', type: undefined, below: '/run' });
    expect(view.resolve('/run/a/../../etc', ['/run'])).toEqual({ path: '/etc', type: DIRECTORY, below: undefined });
    expect(view.resolve('/running', ['/run'])).toEqual({ path: '/running', type: undefined, below: undefined });
  });
});

describe('what is made in a root filesystem', () => {
  it('is open to all, whatever the umask', () => {
    const { view, directory } = rootfsOf({ a: {} });
    view.make('/a/b/c', 'directory');
    view.make('/a/f/file', 'file');
    expect(statSync(join(directory, 'a/b/c')).mode & 0o7777).toBe(0o755);
    expect(statSync(join(directory, 'a/f')).mode & 0o7777).toBe(0o755);
    expect(statSync(join(directory, 'a/f/file')).mode & 0o7777).toBe(0o644);
  });

  it('leaves what is there', () => {
    const { view, directory } = rootfsOf({ 'a/file': 'text' });
    view.make('/a/file', 'file');
    expect(statSync(join(directory, 'a/file')).size).toBe(4);
  });

  it('is never made through a link', () => {
    const { view, outside } = rootfsOf({ l: { link: 'OUTSIDE' } });
    expect(() => view.make('/l/x', 'directory')).toThrow();
    expect(existsSync(join(outside, 'x'))).toBe(false);
  });
});

describe('a file of a root filesystem', () => {
  it('is read by links inside', () => {
    const { view } = rootfsOf({ etc: { link: 'usr/etc' }, 'usr/etc/f': { link: '/data/f' }, 'data/f': 'text' });
    expect(view.read('/etc/f', 100)).toEqual({ text: 'text' });
  });

  it.each<[string, Tree, RegExp]>([
    ['missing', {}, /is missing/],
    ['a link to a file of the host', { f: { link: 'OUTSIDE/passwd' } }, /is missing/],
    ['a link to a process', { f: { link: '/proc/self/environ' }, proc: {} }, /is missing/],
    ['a named pipe', { f: { pipe: true } }, /no regular file/],
    ['a directory', { f: {} }, /no regular file/],
    ['a loop', { f: { link: 'f' } }, /symlink/],
    ['below a file', { g: 'x', f: { link: 'g/h' } }, /no directory/],
    ['larger than what is read', { f: 'x'.repeat(101) }, /101 bytes/],
  ])('is not read when it is %s', (_, tree, problem) => {
    const { view } = rootfsOf(tree);
    expect(view.read('/f', 100)).toEqual({ problem: expect.stringMatching(problem) });
  });

  it('is not read when it is vast, though it has no content', () => {
    const { view, directory } = rootfsOf({ f: '' });
    truncateSync(join(directory, 'f'), 2 ** 40);
    expect(view.read('/f', 2 ** 20)).toEqual({ problem: expect.stringMatching(/1099511627776 bytes/) });
  });
});
