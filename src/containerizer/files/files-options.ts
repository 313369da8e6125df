import {
  abortSignal,
  callback,
  flag,
  type OptionTable,
  oneOf,
  type Rule,
  whole,
} from '../../base/options/check-options.js';
import type {
  ArchiveOptions,
  CopyOptions,
  ExportOptions,
  ExtractOptions,
  MkdirOptions,
  ReadRange,
  RemoveOptions,
  StatOptions,
  WriteOptions,
} from './container-files.js';

const bytes = whole(0, Number.MAX_SAFE_INTEGER);
const id = whole(0, 2 ** 32 - 2);
const owner = oneOf('kept', 'user');

const isAsyncIterable = (value: unknown) =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, Symbol.asyncIterator) === 'function';

export const ARCHIVE: Rule = {
  meant: 'a stream, or something else that gives bytes in pieces',
  holds: isAsyncIterable,
};
export const CONTENT: Rule = {
  meant: 'a text, bytes, or a stream of them',
  holds: (value) => typeof value === 'string' || value instanceof Uint8Array || isAsyncIterable(value),
};

export const STAT_OPTIONS: OptionTable<StatOptions> = { followLink: flag };
export const READ_RANGE: OptionTable<ReadRange> = { start: bytes, length: bytes, last: bytes, signal: abortSignal };
export const WRITE_OPTIONS: OptionTable<WriteOptions> = {
  mode: whole(0, 0o7777),
  uid: id,
  gid: id,
  signal: abortSignal,
};
export const MKDIR_OPTIONS: OptionTable<MkdirOptions> = { parents: flag, mode: whole(0, 0o7777), uid: id, gid: id };
export const REMOVE_OPTIONS: OptionTable<RemoveOptions> = { recursive: flag };
export const EXPORT_OPTIONS: OptionTable<ExportOptions> = { onLeftOut: callback, signal: abortSignal };
export const ARCHIVE_OPTIONS: OptionTable<ArchiveOptions> = { ...EXPORT_OPTIONS, followLink: flag };
export const EXTRACT_OPTIONS: OptionTable<ExtractOptions> = { owner, signal: abortSignal };
export const COPY_OPTIONS: OptionTable<CopyOptions> = { followLink: flag, owner, signal: abortSignal };
