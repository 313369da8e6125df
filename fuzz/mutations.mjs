/*
 * What the fuzzer does to an archive: first to its entries, with checksums and sizes put right again, then to its bytes, then to the
 * compressed form.
 */
import { gzipSync } from 'node:zlib';
import { zstd } from '../fixtures/layer-builder.mjs';
import { BLOCK, base256, FIELDS, fixChecksum, gnuLong, header, padded, paxRecord } from './raw-tar.mjs';
import { compressZstd, damageZstd } from './zstd.mjs';

/** @typedef {import('./corpus.mjs').Member} Member */
/** @typedef {import('./random.mjs').Random} Random */
/** What names may aim at: the paths of the canaries. @typedef {{ readonly outside: string }} Surroundings */

const NUMBER_FIELDS = /** @type {const} */ (['mode', 'uid', 'gid', 'size', 'mtime', 'major', 'minor']);
const TYPES = [...'\x0001234567DSLKxgXVNMA~'];
const NUMBERS = [
  '0000000\0',
  '7777777\0',
  '77777777777\0',
  '99999999999\0',
  '           \0',
  '-1\0',
  '\0',
  '00000000001 ',
  '\x80\0\0\0\0\0\0\0\0\0\0\x05',
  '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
  '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
  '\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff',
];
const KEYWORDS = [
  'path',
  'linkpath',
  'size',
  'uid',
  'gid',
  'mtime',
  'atime',
  'hdrcharset',
  'GNU.sparse.major',
  'GNU.sparse.minor',
  'GNU.sparse.name',
  'GNU.sparse.realsize',
  'GNU.sparse.size',
  'GNU.sparse.map',
  'GNU.sparse.offset',
  'GNU.sparse.numbytes',
  'SCHILY.devmajor',
  'SCHILY.xattr.user.a',
  'SCHILY.xattr.trusted.overlay.redirect',
  'SCHILY.xattr.security.capability',
  'SCHILY.xattr.system.posix_acl_default',
  'SCHILY.xattr.',
  'LIBARCHIVE.xattr.user.b',
  'LIBARCHIVE.xattr.%00%2e',
  '=',
  '',
];
const VALUES = [
  '',
  '0',
  '1',
  '-1',
  '512',
  '4294967295',
  '9007199254740993',
  '1e9',
  '1,2,3,4',
  '0,512',
  '1.999999999999',
  '-0.5',
  '\n\n',
  '\0',
  'a/../../b',
  '99999999999999999999',
];

/** @param {Random} random @param {Surroundings} surroundings @param {readonly Member[]} members */
function anyName(random, { outside }, members) {
  const other = random.pick(members).header;
  const known = textOf(other, FIELDS.name);
  const hostile = [
    '..',
    '../x',
    'a/../../x',
    `${outside}/file`,
    outside,
    `../../outside/file`,
    '../../../outside/directory',
    '/',
    '',
    '.',
    './.',
    '.wh.',
    '.wh..',
    '.wh...',
    '.wh..wh..opq',
    '.wh..wh.plnk/x',
    'd/.wh...',
    'n'.repeat(256),
    'd/'.repeat(300),
    '\x01\x1b[2J',
    '\xff\xfe/\x80',
    'a\0b',
  ];
  switch (random.below(6)) {
    case 0:
      return `${known.replace(/\/$/, '')}/${random.pick(['x', '..', '.wh.x', '../x'])}`;
    case 1:
      return known;
    case 2:
      return `.wh.${known}`;
    case 3:
      return known.replace(/[^/]*$/, (name) => `.wh.${name}`);
    default:
      return random.pick(hostile);
  }
}

/** @param {Buffer} block @param {readonly number[]} field */
function textOf(block, [at = 0, length = 0]) {
  return block.toString('latin1', at, at + length).replace(/\0.*$/s, '');
}

/** @param {Buffer} block @param {readonly number[]} field @param {string | Uint8Array} value */
function setField(block, [at = 0, length = 0], value) {
  block.fill(0, at, at + length);
  block.set((typeof value === 'string' ? Buffer.from(value, 'latin1') : value).subarray(0, length), at);
  fixChecksum(block);
}

/** @type {readonly ((random: Random, member: Member, members: Member[], surroundings: Surroundings) => void)[]} */
const MEMBER_MUTATIONS = [
  (random, member, members, surroundings) =>
    setField(member.header, FIELDS.name, anyName(random, surroundings, members)),
  (random, member, members, surroundings) => {
    setField(member.header, FIELDS.linkName, anyName(random, surroundings, members));
    if (random.chance(0.7)) setField(member.header, FIELDS.type, random.pick(['1', '2']));
  },
  (random, member) => setField(member.header, FIELDS.type, random.pick(TYPES)),
  (random, member) => {
    const field = random.pick(NUMBER_FIELDS);
    const number = random.chance(0.3)
      ? base256(BigInt(random.pick([-1, 1, 2 ** 32, 2 ** 53])), FIELDS[field][1])
      : random.pick(NUMBERS);
    setField(member.header, FIELDS[field], number);
    if (field === 'size') member.sizeLies = true;
  },
  (random, member) => {
    setField(member.header, FIELDS.size, `${random.below(member.data.length * 2 + 600).toString(8)}\0`);
    member.sizeLies = true;
  },
  (random, member) =>
    setField(member.header, FIELDS.magic, random.pick(['ustar\x0000', 'ustar  \0', '\0\0\0\0\0\0\0\0', 'garbage!'])),
  (random, member, members, surroundings) => {
    const field = /** @type {const} */ (['prefix', 'userName', 'groupName'])[random.below(3)] ?? 'prefix';
    setField(member.header, FIELDS[field], anyName(random, surroundings, members));
  },
  // Any byte, the checksum right or wrong.
  (random, member) => {
    member.header[random.below(BLOCK)] = random.below(256);
    if (random.chance(0.9)) fixChecksum(member.header);
  },
  (random, member, members, surroundings) => {
    const value = random.chance(0.5) ? random.pick(VALUES) : anyName(random, surroundings, members);
    addRecord(random, member, paxRecord(random.pick(KEYWORDS), value));
  },
  // A record of a wrong length.
  (random, member) =>
    addRecord(
      random,
      member,
      Buffer.from(`${random.pick(VALUES)} ${random.pick(KEYWORDS)}=${random.pick(VALUES)}\n`, 'latin1'),
    ),
  (random, member, members, surroundings) => {
    const long = gnuLong(random.pick(['L', 'K']), anyName(random, surroundings, members));
    member.extensions.push({
      header: long.subarray(0, BLOCK),
      body: Buffer.from(long.subarray(BLOCK)),
      sizeLies: random.chance(0.5),
    });
  },
  (random, member) => {
    const extension = member.extensions.at(random.below(member.extensions.length));
    if (extension === undefined || extension.body.length === 0) return;
    extension.body[random.below(extension.body.length)] = random.below(256);
  },
  (random, member) => {
    const extension = member.extensions.at(random.below(member.extensions.length));
    if (extension === undefined) return;
    setField(
      extension.header,
      random.chance(0.5) ? FIELDS.size : FIELDS.type,
      random.chance(0.5) ? random.pick(NUMBERS) : random.pick(TYPES),
    );
    extension.sizeLies = true;
  },
  (random, member) => {
    // A numeric or sparse field of GNU's header.
    const at = random.pick([345, 357, 386, 398, 410, 482, 483, 495]);
    member.header.write(random.pick(NUMBERS), at, 'latin1');
    fixChecksum(member.header);
  },
  (random, member) => {
    if (member.data.length > 0) member.data[random.below(member.data.length)] = random.below(256);
  },
];

/** @param {Random} random @param {Member} member @param {Buffer} record */
function addRecord(random, member, record) {
  const last = member.extensions.at(-1);
  if (last !== undefined && random.chance(0.5)) last.body = Buffer.concat([last.body, record]);
  else member.extensions.push({ header: header({ name: 'pax', type: random.chance(0.85) ? 'x' : 'g' }), body: record });
}

/** @type {readonly ((random: Random, members: Member[]) => void)[]} */
const LIST_MUTATIONS = [
  (random, members) => members.splice(random.below(members.length), 0, copyOf(random.pick(members))),
  (random, members) => members.push(copyOf(random.pick(members))),
  (random, members) => members.splice(random.below(members.length), members.length > 1 ? 1 : 0),
  (_random, members) => members.reverse(),
  (random, members) => {
    const [one, other] = [random.below(members.length), random.below(members.length)];
    const [first, second] = [members[one], members[other]];
    if (first !== undefined && second !== undefined) [members[one], members[other]] = [second, first];
  },
  // The headers of one with the data of another.
  (random, members) => {
    random.pick(members).data = random.pick(members).data;
  },
];

/** @param {Member} member @returns {Member} */
export function copyOf(member) {
  const extensions = member.extensions.map((extension) => ({
    ...extension,
    header: Buffer.from(extension.header),
    body: Buffer.from(extension.body),
  }));
  return { ...member, extensions, header: Buffer.from(member.header), data: Buffer.from(member.data) };
}

/** @param {Random} random @param {Member[]} members @param {Surroundings} surroundings */
export function mutateMembers(random, members, surroundings) {
  for (let count = random.pick([0, 1, 1, 2, 3, 5, 10]); count > 0; count--) {
    if (random.chance(0.25)) random.pick(LIST_MUTATIONS)(random, members);
    else random.pick(MEMBER_MUTATIONS)(random, random.pick(members), members, surroundings);
  }
}

/** @param {readonly Member[]} members */
export function writeMembers(members) {
  return Buffer.concat(members.flatMap((member) => [...member.extensions.map(writeExtension), writeMember(member)]));
}

/** @param {import('./corpus.mjs').Extension} extension */
function writeExtension({ header: block, body, sizeLies }) {
  if (!sizeLies) setField(block, FIELDS.size, `${body.length.toString(8)}\0`);
  return Buffer.concat([block, padded(body)]);
}

/** @param {Member} member */
function writeMember({ header: block, data, sizeLies }) {
  if (!sizeLies && textOf(block, FIELDS.size) !== data.length.toString(8).padStart(11, '0')) {
    setField(block, FIELDS.size, `${data.length.toString(8).padStart(11, '0')}\0`);
  }
  return Buffer.concat([block, padded(data)]);
}

/** @type {readonly ((random: Random, tar: Buffer) => Buffer)[]} */
const BYTE_MUTATIONS = [
  (random, tar) => tar.subarray(0, random.below(tar.length)),
  (random, tar) => tar.subarray(0, random.below(Math.ceil(tar.length / BLOCK)) * BLOCK),
  (random, tar) => Buffer.concat([tar, random.bytes(random.below(2000))]),
  (_random, tar) => Buffer.concat([tar, tar]),
  (random, tar) => flip(random, tar),
  (random, tar) => {
    const at = random.below(Math.ceil(tar.length / BLOCK)) * BLOCK;
    return Buffer.concat([tar.subarray(0, at), Buffer.alloc(BLOCK * random.between(1, 3)), tar.subarray(at)]);
  },
  (random, tar) => {
    const blocks = Math.max(1, Math.floor(tar.length / BLOCK));
    const result = Buffer.from(tar);
    for (let count = random.between(1, 3); count > 0; count--)
      tar.copy(result, random.below(blocks) * BLOCK, random.below(blocks) * BLOCK, (random.below(blocks) + 1) * BLOCK);
    return result;
  },
];

/** @param {Random} random @param {Buffer} tar */
export function mutateBytes(random, tar) {
  return tar.length > 0 && random.chance(0.2) ? Buffer.from(random.pick(BYTE_MUTATIONS)(random, tar)) : tar;
}

/** @param {Random} random @param {Buffer} bytes */
function flip(random, bytes) {
  const result = Buffer.from(bytes);
  for (let count = random.between(1, 8); count > 0 && result.length > 0; count--)
    result[random.below(result.length)] = random.below(256);
  return result;
}

/**
 * @param {Random} random @param {Buffer} tar
 * @returns {{ blob: Buffer, damaged: boolean }} damaged: what it inflates to, if it does, need not be `tar`
 */
export function compress(random, tar) {
  const blob = compressedForm(random, tar);
  if (isZstd(blob) && random.chance(0.3)) return { blob: Buffer.from(damageZstd(random, blob)), damaged: true };
  if (!random.chance(0.1)) return { blob, damaged: false };
  const damaged = random.pick([
    () => flip(random, blob),
    () => blob.subarray(0, random.below(blob.length + 1)),
    () => Buffer.concat([blob, random.bytes(random.below(100))]),
    () => Buffer.concat([blob, Buffer.alloc(random.below(4000))]),
    () => Buffer.concat([blob, blob]),
  ])();
  return { blob: Buffer.from(damaged), damaged: true };
}

/** @param {Random} random @param {Buffer} tar */
function compressedForm(random, tar) {
  switch (random.below(10)) {
    case 0:
      return gzipSync(tar, { level: 1 });
    case 1: {
      // Members that end anywhere, so that headers straddle them.
      const pieces = [];
      for (let at = 0; at < tar.length; ) {
        const end = at + random.between(1, 3000);
        pieces.push(gzipSync(tar.subarray(at, end), { level: 1 }));
        at = end;
      }
      return Buffer.concat(pieces.length > 0 ? pieces : [gzipSync(tar)]);
    }
    case 2:
      return zstd(tar);
    case 3: {
      const cut = random.below(tar.length + 1);
      const skippable = Buffer.concat([Buffer.from('502a4d1805000000', 'hex'), Buffer.alloc(5)]);
      return Buffer.concat([skippable, zstd(tar.subarray(0, cut)), skippable, zstd(tar.subarray(cut))]);
    }
    case 4:
    case 5:
      return compressZstd(random, tar);
    default:
      return tar;
  }
}

/** @param {Buffer} blob */
export function isZstd(blob) {
  return blob.length >= 4 && (blob.readUInt32LE(0) === 0xfd2fb528 || blob.readUInt32LE(0) >>> 4 === 0x184d2a5);
}
