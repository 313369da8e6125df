/*
 * Writes tar archives block by block, right and wrong ones: the fuzzer and the tests of the unpack engine need archives that no proper tool
 * makes. For well-formed layers use `fixtures/layer-builder.mjs`.
 */

export const BLOCK = 512;

/**
 * The fields of a header block. Text has one character per byte. A number is written in octal, a bigint in base 256, bytes as they are.
 * @typedef {object} HeaderFields
 * @property {string | Uint8Array} [name]
 * @property {number | bigint | string | Uint8Array} [mode]
 * @property {number | bigint | string | Uint8Array} [uid]
 * @property {number | bigint | string | Uint8Array} [gid]
 * @property {number | bigint | string | Uint8Array} [size]
 * @property {number | bigint | string | Uint8Array} [mtime]
 * @property {number | string | Uint8Array} [checksum] default: the right one
 * @property {string} [type] default '0'
 * @property {string | Uint8Array} [linkName]
 * @property {string} [magic] with the version: 8 bytes. Default ustar; see `V7`, `GNU`
 * @property {string} [userName]
 * @property {string} [groupName]
 * @property {number | bigint | string | Uint8Array} [major]
 * @property {number | bigint | string | Uint8Array} [minor]
 * @property {string | Uint8Array} [prefix]
 * @property {readonly (readonly [number, string | Uint8Array])[]} [patches] further bytes: offset and what goes there
 */

export const USTAR = 'ustar\x0000';
export const GNU = 'ustar  \0';
export const V7 = '\0\0\0\0\0\0\0\0';

/** Offset and length of each field. POSIX.1-2017, pax, "ustar Interchange Format". */
export const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  userName: [265, 32],
  groupName: [297, 32],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
};

/** @param {HeaderFields} fields @returns {Buffer} */
export function header(fields) {
  const block = Buffer.alloc(BLOCK);
  const { patches = [], checksum, ...rest } = fields;
  const defaults = { mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 1704067200, type: '0', magic: USTAR };
  for (const [field, value] of Object.entries({ ...defaults, ...rest })) {
    const [at, length] = FIELDS[/** @type {keyof typeof FIELDS} */ (field)];
    put(block, at, length, value);
  }
  for (const [at, value] of patches) block.set(bytesOf(value), at);
  if (checksum === undefined) fixChecksum(block);
  else put(block, 148, 8, checksum);
  return block;
}

/** @param {Buffer} block @param {number} at @param {number} length @param {number | bigint | string | Uint8Array} value */
function put(block, at, length, value) {
  if (typeof value === 'number') block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1');
  else if (typeof value === 'bigint') block.set(base256(value, length), at);
  else block.set(bytesOf(value).subarray(0, length), at);
}

/** A number as GNU writes what does not fit in octal: two's complement with the first bit set. @param {bigint} value @param {number} length */
export function base256(value, length) {
  const bytes = Buffer.alloc(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

/** Makes the checksum of the block at `at` right. @param {Buffer} block @param {number} [at] */
export function fixChecksum(block, at = 0) {
  block.fill(0x20, at + 148, at + 156);
  let sum = 0;
  for (let i = at; i < at + BLOCK; i++) sum += block[i] ?? 0;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 8, 'latin1');
}

/**
 * A header and its data, padded.
 * @param {HeaderFields} fields the size defaults to that of the content
 * @param {string | Uint8Array} [content]
 */
export function entry(fields, content = '') {
  const bytes = bytesOf(content);
  return Buffer.concat([header({ size: bytes.length, ...fields }), padded(bytes)]);
}

/**
 * An extended header.
 * @param {Readonly<Record<string, string | Uint8Array>> | readonly (readonly [string, string | Uint8Array])[]} records a list may repeat keywords
 * @param {string} [type] `x` for the next entry, `g` for all that follow
 */
export function pax(records, type = 'x') {
  const list = Array.isArray(records) ? records : Object.entries(records);
  return entry(
    { name: 'PaxHeaders/x', type },
    Buffer.concat(list.map(([keyword, value]) => paxRecord(keyword, value))),
  );
}

/** @param {string} keyword @param {string | Uint8Array} value */
export function paxRecord(keyword, value) {
  const rest = Buffer.concat([Buffer.from(` ${keyword}=`, 'latin1'), bytesOf(value), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (rest.length + String(length).length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** GNU's header for a long name (`L`) or link target (`K`). @param {'L' | 'K'} type @param {string | Uint8Array} text */
export function gnuLong(type, text) {
  return entry({ name: '././@LongLink', type, magic: GNU }, Buffer.concat([bytesOf(text), Buffer.alloc(1)]));
}

/**
 * GNU's own sparse header, with as many extension blocks as the map needs.
 * @param {HeaderFields} fields
 * @param {number} realSize
 * @param {readonly (readonly [number, number])[]} map offset and length of each piece
 * @param {string | Uint8Array} data all pieces
 */
export function oldSparse(fields, realSize, map, data) {
  const bytes = bytesOf(data);
  const pairs = map.map(([offset, length]) => Buffer.concat([octal12(offset), octal12(length)]));
  const more = pairs.slice(4);
  const first = header({
    type: 'S',
    magic: GNU,
    size: bytes.length,
    ...fields,
    patches: [
      [386, Buffer.concat(pairs.slice(0, 4))],
      [482, more.length > 0 ? '\x01' : '\0'],
      [483, octal12(realSize)],
      ...(fields.patches ?? []),
    ],
  });
  const blocks = [];
  for (let i = 0; i < more.length; i += 21) {
    const block = Buffer.alloc(BLOCK);
    block.set(Buffer.concat(more.slice(i, i + 21)), 0);
    block[504] = i + 21 < more.length ? 1 : 0;
    blocks.push(block);
  }
  return Buffer.concat([first, ...blocks, padded(bytes)]);
}

/** @param {number} value */
function octal12(value) {
  return Buffer.from(`${value.toString(8).padStart(11, '0')}\0`, 'latin1');
}

/** The map that sparse format 1.0 keeps in front of the data. @param {readonly (readonly [number, number])[]} map */
export function sparseMapBlocks(map) {
  return padded(Buffer.from(`${[map.length, ...map.flat()].join('\n')}\n`, 'latin1'));
}

/** Two blocks of zeros. */
export function endOfArchive() {
  return Buffer.alloc(2 * BLOCK);
}

/** An archive of these parts. @param {...Uint8Array} parts */
export function archive(...parts) {
  return Buffer.concat([...parts, endOfArchive()]);
}

/** Fills up the last block. @param {string | Uint8Array} content @returns {Buffer} */
export function padded(content) {
  const bytes = bytesOf(content);
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** @param {string | Uint8Array} value @returns {Buffer} */
function bytesOf(value) {
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.from(value);
}
