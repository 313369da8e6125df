import { expect, it } from 'vitest';
import { foldKeys } from '#src/base/fold-keys.js';

it('keys are known whatever their case, and others are left as they are', () => {
  expect(foldKeys({ cmd: 1, ENV: 2, other: 3 }, ['Cmd', 'Env'])).toEqual({ Cmd: 1, Env: 2, other: 3 });
  expect(foldKeys({ rootfS: 1 }, ['rootfs'])).toEqual({ rootfs: 1 });
});

it('a key to the letter counts before others, and of others the last one', () => {
  expect(foldKeys({ cmd: 1, Cmd: 2, CMD: 3 }, ['Cmd'])).toEqual({ Cmd: 2 });
  expect(foldKeys({ cmd: 1, CMD: 3 }, ['Cmd'])).toEqual({ Cmd: 3 });
});

it('a document that is as it should be is the same object', () => {
  const document = { Cmd: 1, other: 2 };
  expect(foldKeys(document, ['Cmd', 'Env'])).toBe(document);
});

it('a key that means something to JavaScript is a key', () => {
  const document = JSON.parse('{"__proto__": {"a": 1}, "CMD": 1}') as object;
  const folded = foldKeys(document, ['Cmd']);
  expect(Object.keys(folded)).toEqual(['__proto__', 'Cmd']);
  expect(Object.getPrototypeOf(folded)).toBe(Object.prototype);
});
