/*
 * What is mutated: the entries of real layers, and of archives made up here with few names, so that entries collide.
 */
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { BLOCK, FIELDS, GNU, gnuLong, header, oldSparse, paxRecord, sparseMapBlocks, V7 } from './raw-tar.mjs';

/**
 * An entry in pieces that can be changed one by one. Sizes in headers are put right when it is written, unless they are meant to lie.
 * @typedef {object} Member
 * @property {Extension[]} extensions in front of it
 * @property {Buffer} header
 * @property {Buffer} data
 * @property {boolean} [sizeLies]
 */

/**
 * @typedef {object} Extension
 * @property {Buffer} header
 * @property {Buffer} body
 * @property {boolean} [sizeLies]
 */

/** @typedef {{ readonly name: string, readonly members: readonly Member[] }} Layer */

/** Of each layer so many inflated bytes are read, and of each file so many are kept: cases must be fast. */
const LAYER_BYTES = 24 * 1024 * 1024;
const DATA_BYTES = 3000;

/** @param {readonly string[]} directories searched for blobs that hold a tar @returns {Promise<Layer[]>} */
export async function readCorpus(directories) {
  /** @type {Layer[]} */
  const layers = [];
  for (const file of directories.flatMap(filesBelow)) {
    const members = membersOf(await inflatedStart(file));
    if (members.length > 0) layers.push({ name: file, members });
  }
  return layers;
}

/** @param {string} directory @returns {string[]} */
function filesBelow(directory) {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return names
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
    .sort();
}

/** @param {string} file @returns {Promise<Buffer>} */
async function inflatedStart(file) {
  const bytes = statSync(file).size < 1024 * 1024 ? readFileSync(file) : undefined;
  if (bytes !== undefined && bytes.readUInt16BE(0) !== 0x1f8b) return bytes;
  const inflate = createGunzip();
  const source = createReadStream(file);
  source.on('error', (error) => inflate.destroy(error));
  const chunks = [];
  let length = 0;
  try {
    for await (const chunk of source.pipe(inflate)) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= LAYER_BYTES) break;
    }
  } catch {
    // Something that is no layer.
    return Buffer.alloc(0);
  } finally {
    source.destroy();
  }
  return Buffer.concat(chunks);
}

/** Takes an archive apart, as far as it is one. @param {Buffer} tar @returns {Member[]} */
function membersOf(tar) {
  /** @type {Member[]} */
  const members = [];
  /** @type {Extension[]} */
  let extensions = [];
  for (let at = 0; at + BLOCK <= tar.length; ) {
    const block = Buffer.from(tar.subarray(at, at + BLOCK));
    if (!/^ustar/.test(block.toString('latin1', 257, 262))) break;
    const size = Number.parseInt(block.toString('latin1', 124, 135), 8) || 0;
    const type = String.fromCharCode(block[156] ?? 0);
    const body = tar.subarray(at + BLOCK, at + BLOCK + size);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (/[xgLK]/.test(type)) {
      extensions.push({ header: block, body: Buffer.from(body) });
    } else {
      members.push({ extensions, header: block, data: Buffer.from(body.subarray(0, DATA_BYTES)) });
      extensions = [];
    }
  }
  return members;
}

/** Few, so that entries meet; `l…` are mostly symlinks, `d…` mostly directories. */
const NAMES = [
  'a',
  'b',
  'd',
  'd/',
  'd/a',
  'd/e',
  'd/e/',
  'd/e/a',
  'l',
  'l/a',
  'l/file',
  'l/directory/',
  'l/l',
  'm',
  'm/a',
  'm/d/a',
  './',
  '.wh.a',
  '.wh.d',
  'd/.wh.e',
];
const MORE_NAMES = [
  'd/.wh..wh..opq',
  '.wh..wh..opq',
  'l/.wh.a',
  'd/e/f/g/h',
  './d/./e//a',
  '/b',
  '\xe9',
  'd/\xff\xfe',
  '.wh..wh.plnk/1',
];
const TARGETS = [
  'a',
  'd',
  'd/e',
  '/d',
  '..',
  '../d',
  '.',
  'l',
  'm',
  '/',
  'd/../d/e',
  '/../../d',
  'nowhere',
  'l/l',
  './a',
  'd/a',
];
const TYPES = '000000111222233445555567DS';
const XATTRS = [
  'user.a',
  'trusted.a',
  'security.capability',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'trusted.overlay.opaque',
  'foo',
];

/** @param {import('./random.mjs').Random} random @param {import('./mutations.mjs').Surroundings} surroundings @returns {Member[]} */
export function inventedMembers(random, surroundings) {
  return Array.from({ length: random.between(1, 24) }, () => inventedMember(random, surroundings));
}

/** @param {import('./random.mjs').Random} random @param {import('./mutations.mjs').Surroundings} surroundings @returns {Member} */
function inventedMember(random, { outside }) {
  const type = random.pick([...TYPES]);
  const name = random.chance(0.8) ? random.pick(NAMES) : random.pick(MORE_NAMES);
  const targets = [...TARGETS, ...TARGETS, outside, '../../outside', `${outside}/file`];
  const linkName = '12'.includes(type) ? random.pick(random.chance(0.7) ? targets : NAMES) : '';
  const data = '07'.includes(type) && random.chance(0.7) ? random.bytes(random.between(0, 1500)) : Buffer.alloc(0);
  const fields = {
    name,
    linkName,
    type,
    mode: random.pick([0o644, 0o755, 0o4755, 0o1777, 0, 0o7777]),
    uid: random.pick([0, 0, 1000, 0o7777777]),
    gid: random.pick([0, 0, 1000]),
    mtime: random.pick([0, 1704067200, 0o77777777777]),
    major: '34'.includes(type) ? random.pick([0, 1, 8]) : 0,
    minor: '34'.includes(type) ? random.pick([0, 3, 255]) : 0,
    magic: random.pick(['ustar\x0000', 'ustar\x0000', GNU, V7]),
  };
  if (type === 'S') return inventedSparse(random, fields);
  /** @type {Extension[]} */
  const extensions = [];
  if (random.chance(0.15)) extensions.push(extensionOf(gnuLong('L', random.pick(NAMES))));
  if (random.chance(0.1)) extensions.push(extensionOf(gnuLong('K', random.pick(TARGETS))));
  if (random.chance(0.3)) extensions.push(inventedPax(random));
  const member = { extensions, header: header(fields), data };
  if (type === '0' && random.chance(0.1)) addSparseRecords(random, member);
  return member;
}

/** @param {import('./random.mjs').Random} random @returns {Extension} */
function inventedPax(random) {
  const records = Array.from({ length: random.between(1, 3) }, () => {
    switch (random.below(5)) {
      case 0:
        return paxRecord('path', random.pick(NAMES));
      case 1:
        return paxRecord('linkpath', random.pick(TARGETS));
      case 2:
        return paxRecord('mtime', random.pick(['1.5', '-1.25', '0', '99999999999.999999999', '-0.000000001']));
      case 3:
        return paxRecord(random.pick(['uid', 'gid']), random.pick(['0', '4294967294', '100000', '']));
      default:
        return paxRecord(`SCHILY.xattr.${random.pick(XATTRS)}`, inventedXattr(random));
    }
  });
  return { header: header({ name: 'pax', type: random.chance(0.9) ? 'x' : 'g' }), body: Buffer.concat(records) };
}

/** @param {import('./random.mjs').Random} random */
function inventedXattr(random) {
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  const acl = Buffer.from('0200000001000700ffffffff04000500ffffffff20000500ffffffff', 'hex');
  return random.pick([capability, acl, Buffer.from('y'), Buffer.alloc(0), random.bytes(random.below(40))]);
}

/** @param {import('./random.mjs').Random} random */
function inventedMap(random) {
  /** @type {[number, number][]} */
  const map = [];
  let offset = 0;
  for (let count = random.below(12); count > 0; count--) {
    offset += random.below(5000);
    const length = random.below(600);
    map.push([offset, length]);
    offset += length;
  }
  return {
    map,
    size: offset + random.below(3000),
    data: random.bytes(map.reduce((sum, [, length]) => sum + length, 0)),
  };
}

/** @param {import('./random.mjs').Random} random @param {import('./raw-tar.mjs').HeaderFields} fields @returns {Member} */
function inventedSparse(random, fields) {
  const { map, size, data } = inventedMap(random);
  const bytes = oldSparse(fields, size, map, data);
  // What stands between the header and the data counts as data here, so the size must not be corrected.
  return { extensions: [], header: bytes.subarray(0, BLOCK), data: bytes.subarray(BLOCK), sizeLies: true };
}

/** @param {import('./random.mjs').Random} random @param {Member} member */
function addSparseRecords(random, member) {
  const { map, size, data } = inventedMap(random);
  const form = random.below(3);
  const records = [
    [
      ['GNU.sparse.size', `${size}`],
      ['GNU.sparse.numblocks', `${map.length}`],
      ...map.flatMap(([offset, length]) => [
        ['GNU.sparse.offset', `${offset}`],
        ['GNU.sparse.numbytes', `${length}`],
      ]),
    ],
    [
      ['GNU.sparse.size', `${size}`],
      ['GNU.sparse.map', map.flat().join(',')],
    ],
    [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', `${size}`],
    ],
  ][form];
  const body = Buffer.concat((records ?? []).map(([keyword, value]) => paxRecord(String(keyword), String(value))));
  member.extensions.push({ header: header({ name: 'pax', type: 'x' }), body });
  member.data = form === 2 ? Buffer.concat([sparseMapBlocks(map), data]) : data;
}

/** @param {Buffer} bytes of a header and its body @returns {Extension} */
function extensionOf(bytes) {
  const [at, length] = FIELDS.size;
  const size = Number.parseInt(bytes.toString('latin1', at, at + length - 1), 8);
  return { header: Buffer.from(bytes.subarray(0, BLOCK)), body: Buffer.from(bytes.subarray(BLOCK, BLOCK + size)) };
}
