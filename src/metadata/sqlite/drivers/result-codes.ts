/** Primary result codes, and what their extended codes add, from 1 on. @see sqlite.org/rescode.html */
const NAMES: Readonly<Record<number, readonly string[]>> = {
  1: ['ERROR', 'MISSING_COLLSEQ', 'RETRY', 'SNAPSHOT'],
  2: ['INTERNAL'],
  3: ['PERM'],
  4: ['ABORT', '', 'ROLLBACK'],
  5: ['BUSY', 'RECOVERY', 'SNAPSHOT', 'TIMEOUT'],
  6: ['LOCKED', 'SHAREDCACHE', 'VTAB'],
  7: ['NOMEM'],
  8: ['READONLY', 'RECOVERY', 'CANTLOCK', 'ROLLBACK', 'DBMOVED', 'CANTINIT', 'DIRECTORY'],
  9: ['INTERRUPT'],
  10: [
    'IOERR',
    ...['READ', 'SHORT_READ', 'WRITE', 'FSYNC', 'DIR_FSYNC', 'TRUNCATE', 'FSTAT', 'UNLOCK', 'RDLOCK', 'DELETE'],
    ...['BLOCKED', 'NOMEM', 'ACCESS', 'CHECKRESERVEDLOCK', 'LOCK', 'CLOSE', 'DIR_CLOSE', 'SHMOPEN', 'SHMSIZE'],
    ...['SHMLOCK', 'SHMMAP', 'SEEK', 'DELETE_NOENT', 'MMAP', 'GETTEMPPATH', 'CONVPATH', 'VNODE', 'AUTH'],
    ...['BEGIN_ATOMIC', 'COMMIT_ATOMIC', 'ROLLBACK_ATOMIC', 'DATA', 'CORRUPTFS', 'IN_PAGE'],
  ],
  11: ['CORRUPT', 'VTAB', 'SEQUENCE', 'INDEX'],
  12: ['NOTFOUND'],
  13: ['FULL'],
  14: ['CANTOPEN', 'NOTEMPDIR', 'ISDIR', 'FULLPATH', 'CONVPATH', 'DIRTYWAL', 'SYMLINK'],
  15: ['PROTOCOL'],
  16: ['EMPTY'],
  17: ['SCHEMA'],
  18: ['TOOBIG'],
  19: [
    'CONSTRAINT',
    ...['CHECK', 'COMMITHOOK', 'FOREIGNKEY', 'FUNCTION', 'NOTNULL', 'PRIMARYKEY', 'TRIGGER', 'UNIQUE', 'VTAB', 'ROWID'],
    ...['PINNED', 'DATATYPE'],
  ],
  20: ['MISMATCH'],
  21: ['MISUSE'],
  22: ['NOLFS'],
  23: ['AUTH'],
  24: ['FORMAT'],
  25: ['RANGE'],
  26: ['NOTADB'],
};

/** @param code extended: the primary one in its lowest byte @returns its name, such as `SQLITE_BUSY_SNAPSHOT`; that of the primary one, when it is newer than this table */
export function resultCodeName(code: number): string {
  const [primary, ...extended] = NAMES[code & 0xff] ?? [String(code)];
  const name = extended[(code >> 8) - 1];
  return name ? `SQLITE_${primary}_${name}` : `SQLITE_${primary}`;
}
