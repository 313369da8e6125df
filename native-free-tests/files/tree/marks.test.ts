import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Marks } from '#src/files/tree/marks.js';
import type { WhiteoutFormat } from '#src/files/tree/whiteouts.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import type { Syscalls } from '#src/system/syscalls/syscalls.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

/** On a kernel that answers as told. @param answers one for each attempt; the code of a failure, or whether what was written shows */
function marksOn(format: WhiteoutFormat, ...answers: (string | boolean)[]) {
  const directory = temporaryDirectory();
  let tries = 0;
  let shown = true;
  const kernel = {
    kind: 'native',
    setXattr: () => {
      const answer = answers[tries++];
      if (typeof answer === 'string') throw Object.assign(new Error(answer), { code: answer });
      shown = answer === true;
    },
    getXattr: () => (shown ? Buffer.from('y') : undefined),
  } as Partial<Syscalls> as Syscalls;
  const marks = new Marks({ format, tryIn: () => join(directory, 'probe-'), syscalls: () => kernel });
  return { marks, tries: () => tries, left: () => readdirSync(directory) };
}

test('marks that can be written and seen are tried once, and leave nothing', () => {
  const { marks, tries, left } = marksOn('trusted', true);
  for (let time = 0; time < 3; time++) marks.require('copy');
  expect([tries(), left(), marks.outOfReach()]).toEqual([1, [], undefined]);
});

test.each(['EPERM', 'EOPNOTSUPP', false])('marks that end in %s are out of reach, for good', (answer) => {
  for (const format of ['trusted', 'user'] as const) {
    const { marks, tries, left } = marksOn(format, answer);
    for (let time = 0; time < 3; time++) {
      expect(() => marks.require('copy the layers')).toThrow(
        expect.objectContaining({
          code: 'ERR_PERMISSION',
          message: expect.stringMatching(new RegExp(`^cannot copy the layers: .*${format}\\.overlay\\.opaque`)),
          hint: expect.stringContaining('--root'),
        }),
      );
    }
    expect([tries(), left()]).toEqual([1, []]);
  }
});

test('where nothing can be tried it is that place which is told, not the marks, and they are tried again', () => {
  const directory = temporaryDirectory();
  let place = join(directory, 'file', 'probe-');
  const kernel = {
    kind: 'native',
    setXattr: () => {},
    getXattr: () => Buffer.from('y'),
  } as Partial<Syscalls> as Syscalls;
  const marks = new Marks({ format: 'trusted', tryIn: () => place, syscalls: () => kernel });
  writeFileSync(join(directory, 'file'), '');
  expect(() => marks.require('copy')).toThrow(
    expect.objectContaining({ code: 'ERR_IO', message: expect.stringContaining(place) }),
  );
  place = join(directory, 'probe-');
  expect(marks.outOfReach()).toBeUndefined();
});

test('a shortage is told as such, and the marks are tried again', () => {
  const { marks, tries, left } = marksOn('trusted', 'ENOSPC', 'EMFILE', true);
  expect(() => marks.require('copy')).toThrow(expect.objectContaining({ code: 'ERR_NO_SPACE' }));
  expect(() => marks.require('copy')).toThrow(expect.objectContaining({ code: 'ERR_NO_DESCRIPTORS' }));
  expect(marks.outOfReach()).toBeUndefined();
  expect([tries(), left()]).toEqual([3, []]);
});

test('a store whose marks are files asks nothing, and neither does one without native system calls', () => {
  const { marks, tries } = marksOn('plain', 'EPERM');
  expect([marks.outOfReach(), tries()]).toEqual([undefined, 0]);
  const free = new Marks({ format: 'trusted', tryIn: () => '/nowhere/', syscalls: () => new NativeFreeSyscalls() });
  expect(free.outOfReach()).toBeUndefined();
});
