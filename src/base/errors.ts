import type { ErrorCode } from './codes/code-tables.js';
import { SHORTAGES } from './codes/shortages.js';

/** The values involved, for logs and programs. Never a secret. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface ProvisionerErrorOptions {
  /** The error beneath. Default: none. */
  readonly cause?: unknown;
  /** One sentence that says what to do next. Default: none. */
  readonly hint?: string;
  /** The values involved. Default: none. */
  readonly details?: ErrorDetails;
}

/** Marks our errors for every copy of this package in the process, whichever made them; no two copies share a class. */
const BRAND = Symbol.for('provisioner.error');

/**
 * The one error class of this library: a failure that a caller can meet, with the code to branch on. Messages are for people and may change; codes may not. The
 * message says what failed and with which values, `cause` keeps the error beneath, `hint` says what to do next.
 */
export class ProvisionerError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: ProvisionerErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'ProvisionerError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  get [BRAND](): true {
    return true;
  }
}

/**
 * True when `error` is ours and carries one of `codes` (any code when none is named). So is one that another copy of this package made, or a worker thread of one:
 * ask this, and not `instanceof`.
 */
export function isProvisionerError(error: unknown, ...codes: ErrorCode[]): error is ProvisionerError {
  return isBranded(error) && (codes.length === 0 || codes.includes(error.code));
}

function isBranded(error: unknown): error is ProvisionerError {
  return typeof error === 'object' && error !== null && BRAND in error;
}

/** The system's own code (`ENOENT`, …) of an error thrown by Node or by our system calls; undefined for any other. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Whether an error tells of a shortage, in itself or, when it is ours, beneath. */
export function isShortage(error: unknown): boolean {
  return SHORTAGES.has(systemCode(error) ?? systemCode((error as Partial<Error>).cause) ?? '');
}

/** What went wrong in one line, of whatever was thrown. */
export function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}

/** Whether it was for want of a descriptor that something native could not be loaded; the loader of the system, which Node asks, has only words for that. */
export function descriptorShortage(error: unknown): 'EMFILE' | 'ENFILE' | undefined {
  const code = systemCode(error);
  if (code === 'EMFILE' || code === 'ENFILE') return code;
  const message = error instanceof Error ? error.message : '';
  if (/Too many open files in system|\bENFILE\b/.test(message)) return 'ENFILE';
  return /Too many open files|\bEMFILE\b/.test(message) ? 'EMFILE' : undefined;
}

/** Of an operation that found no descriptor left: this process has as many open as it may (`EMFILE`), or the machine has (`ENFILE`). */
export function noDescriptors(what: string, code: 'EMFILE' | 'ENFILE', cause: unknown): ProvisionerError {
  const whose = code === 'EMFILE' ? 'this process has' : 'the machine has';
  return new ProvisionerError('ERR_NO_DESCRIPTORS', `cannot ${what}: ${whose} as many files open as allowed`, {
    cause,
    hint:
      code === 'EMFILE'
        ? 'allow the process more (`ulimit -n 4096`, `LimitNOFILE=` of its unit), or fewer `workers`; then try again'
        : 'allow the machine more (`sysctl fs.file-max`), or look for a program that leaves files open; then try again',
    details: { errno: code },
  });
}

/**
 * Wraps a failed file operation, so that every path of the product tells the same story about it.
 * @param action what was being done, as the middle of a sentence: `read the blob`
 * @returns the error itself when it is already ours; else `ERR_NO_SPACE`, `ERR_NO_DESCRIPTORS`, `ERR_READ_ONLY`, `ERR_PERMISSION` or `ERR_IO`
 */
export function fileError(error: unknown, action: string, path: string): ProvisionerError {
  if (isProvisionerError(error)) return error;
  const code = systemCode(error);
  const details = { path, ...(code === undefined ? {} : { errno: code }) };
  const reason = error instanceof Error ? error.message : String(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ProvisionerError('ERR_NO_SPACE', `no space left to ${action} at ${path}`, {
      cause: error,
      hint: 'free some space, or prune images that nothing uses; `df -i` tells whether it is files that there are too many of',
      details,
    });
  }
  if (code === 'EMFILE' || code === 'ENFILE') return noDescriptors(`${action} at ${path}`, code, error);
  if (code === 'EROFS') {
    return new ProvisionerError('ERR_READ_ONLY', `cannot ${action} at ${path}: its file system is read-only`, {
      cause: error,
      hint: 'mount it for writing (`mount -o remount,rw …`); the kernel also makes it read-only after errors of the disk, see `dmesg`',
      details,
    });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new ProvisionerError('ERR_PERMISSION', `not permitted to ${action} at ${path}: ${reason}`, {
      cause: error,
      hint:
        code === 'EPERM'
          ? `check who owns it, and whether it is immutable or lies in what is (\`lsattr -d ${path}\`); or choose another store with --root`
          : 'check who owns it, or choose another store with --root',
      details,
    });
  }
  return new ProvisionerError('ERR_IO', `cannot ${action} at ${path}: ${reason}`, { cause: error, details });
}

/** Tells what the machine is short of, or does not allow, wherever it came to light; any other error comes back as it is. @param what as an infinitive */
export function machineError(error: unknown, what: string): unknown {
  const code = systemCode(error);
  if (code === 'EMFILE' || code === 'ENFILE') return noDescriptors(what, code, error);
  const { path } = error as NodeJS.ErrnoException;
  if (code === 'EROFS' || code === 'ENOSPC' || code === 'EDQUOT') return fileError(error, what, path ?? 'the store');
  return error;
}

/** Throws `ERR_ABORTED` when the caller has given up. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

/** The error of an operation whose caller gave up; `cause` is the signal's own reason. */
export function abortedError(signal: AbortSignal): ProvisionerError {
  return new ProvisionerError('ERR_ABORTED', 'the operation was cancelled', { cause: signal.reason });
}
