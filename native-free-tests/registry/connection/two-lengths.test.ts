import { expect, it } from 'vitest';
import { hideLengthBesideChunks } from '#src/registry/connection/two-lengths.js';

function after(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  hideLengthBesideChunks(bytes);
  return bytes.toString('latin1');
}

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

it('a length beside chunks is given another name, and nothing else of the answer is changed', () => {
  const answer = (name: string) =>
    `HTTP/1.1 200 OK\r\n${name}: 5\r\n${CHUNKED}X: content-length:\r\n\r\ncontent-length: 7`;
  expect(after(answer('Content-Length'))).toBe(answer('xontent-Length'));
  expect(after(answer('content-length'))).toBe(answer('xontent-length'));
});

it.each([
  ['without chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
  ['with chunks in its body alone', `HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n\r\n${CHUNKED}`],
  ['of which the headers have not all come', `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n${CHUNKED}`],
  ['that is none', `Content-Length: 5\r\n${CHUNKED}\r\n`],
  ['of three bytes', 'HTT'],
])('an answer %s is left as it is', (_, text) => {
  expect(after(text)).toBe(text);
});
