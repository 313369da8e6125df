/** Some tens of kilobytes that deflate to a third. */
export const text = Buffer.from(
  Array.from({ length: 4000 }, (_, line) => `line ${line * 7919} ${line % 13}\n`).join(''),
);

/** The bytes as a stream may deliver them: a piece is overwritten when the next one is asked for. */
export async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) {
    const piece = Buffer.from(bytes.subarray(start, start + size));
    yield piece;
    piece.fill(0xee);
  }
}
