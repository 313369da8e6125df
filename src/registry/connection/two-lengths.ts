/** The first four bytes of an answer. */
const HTTP = Buffer.from('HTTP').readUInt32BE();
const HEAD_END = '\r\n\r\n';
const CHUNKED = /\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n/i;
const LENGTH = /\r\ncontent-length:/gi;

/**
 * An answer that states its length and comes in chunks all the same is taken for an attack by the parser, and there are servers that send such: the chunks are what counts,
 * as for Go's clients. So the length is given another name, before the parser sees it. A body that looks like that at the start of a read would be changed; its digest tells.
 * @param bytes of one read from a socket, changed in place
 * @see RFC 9112, section 6.3
 */
export function hideLengthBesideChunks(bytes: Buffer): void {
  if (bytes.length < HEAD_END.length || bytes.readUInt32BE(0) !== HTTP) return;
  const end = bytes.indexOf(HEAD_END);
  if (end === -1) return;
  const head = bytes.toString('latin1', 0, end + 2);
  if (!CHUNKED.test(head)) return;
  for (const { index } of head.matchAll(LENGTH)) bytes.write('x', index + 2, 'latin1');
}
