import { describe, expect, it } from 'vitest';
import { type CopyTarget, copyPlace, isContent, writtenName } from '#src/containerizer/files/copy-place.js';

const file = { isDirectory: false, name: 'f', isContent: false };
const directory = { isDirectory: true, name: 'd', isContent: false };
const content = { ...directory, isContent: true };
const target = (is: CopyTarget['is'], endsWithSlash = false): CopyTarget => ({ is, name: 't', endsWithSlash });

describe('a copy, as docker cp has it,', () => {
  it.each([
    ['of a file to what is not there becomes that', file, target('missing'), { inside: false, as: 't' }],
    ['of a file to a file replaces it', file, target('file'), { inside: false, as: 't' }],
    ['of a file to a directory goes into it', file, target('directory'), { inside: true, as: 'f' }],
    ['of a file to a symlink takes its place', file, target('link'), { inside: false, as: 't' }],
    ['of a directory to what is not there becomes that', directory, target('missing'), { inside: false, as: 't' }],
    [
      'of a directory to a missing one with a slash too',
      directory,
      target('missing', true),
      { inside: false, as: 't' },
    ],
    ['of a directory to a directory goes into it', directory, target('directory'), { inside: true, as: 'd' }],
    ['of the content to a directory goes into it by itself', content, target('directory'), { inside: true, as: '' }],
    ['of the content to what is not there becomes that', content, target('missing'), { inside: false, as: 't' }],
  ])('%s', (_, source, to, place) => {
    expect(copyPlace(source, to)).toEqual(place);
  });

  it.each([
    ['a file to a directory that is missing', file, target('missing', true), 'no such directory'],
    ['a directory to a file', directory, target('file'), 'a directory cannot become one'],
    ['a directory to a symlink', content, target('link'), 'it is a symlink'],
    ['a file to a symlink to a directory', file, target('link-to-directory'), 'with a slash behind it'],
    ['a directory to one', directory, target('link-to-directory'), 'with a slash behind it'],
    ['anything to a device, a FIFO or a socket', file, target('other'), 'is not replaced'],
  ])('of %s is refused', (_, source, to, problem) => {
    expect(copyPlace(source, to)).toEqual({ problem: expect.stringContaining(problem) });
  });
});

describe('a path', () => {
  it.each([
    ['/a/b', 'b', false],
    ['/a/b/', 'b', false],
    ['b', 'b', false],
    ['/a/b/.', undefined, true],
    ['.', undefined, true],
    ['/', undefined, false],
    ['..', undefined, false],
    ['/a/..', undefined, false],
    ['a.', 'a.', false],
  ])('%j has the last name %j, and means content: %s', (path, name, isIt) => {
    expect([writtenName(path), isContent(path)]).toEqual([name, isIt]);
  });
});
