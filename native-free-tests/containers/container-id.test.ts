import { expect, test } from 'vitest';
import { checkContainerId } from '#src/containers/container-id.js';

test.each(['job-1', 'a', '0', 'A.b_c-d', 'pod/sidecar', 'a/b/c', 'x'.repeat(200)])('%j is a container id', (id) => {
  expect(checkContainerId(id)).toBe(id);
});

test.each([
  '',
  '.',
  '..',
  '../x',
  'a/../b',
  '/etc',
  'a/',
  'a//b',
  '.hidden',
  '-option',
  'a b',
  'a\0b',
  'a\nb',
  'ä',
  'a\\b',
  'x'.repeat(201),
  Array(33).fill('a').join('/'),
])('%j is refused as a container id', (id) => {
  expect(() => checkContainerId(id)).toThrow(expect.objectContaining({ code: 'ERR_BAD_CONTAINER_ID' }));
});
