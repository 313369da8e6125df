/**
 * Every failure that a caller can meet, with the code to branch on. Messages are for people and may change; codes may not.
 *
 * The message says what failed and with which values, `cause` keeps the error beneath, `hint` says what to do next.
 */
export type ErrorCode =
  // The caller's input
  | 'ERR_BAD_REFERENCE'
  | 'ERR_BAD_DIGEST'
  | 'ERR_BAD_PLATFORM'
  | 'ERR_BAD_SOURCE'
  | 'ERR_BAD_CONTAINER_ID'
  | 'ERR_BAD_OPTION'
  // What the store holds
  | 'ERR_IMAGE_NOT_FOUND'
  | 'ERR_IMAGE_AMBIGUOUS'
  | 'ERR_LAYER_NOT_FOUND'
  | 'ERR_CONTAINER_NOT_FOUND'
  | 'ERR_CONTAINER_GONE'
  | 'ERR_CONTAINER_FOREIGN'
  | 'ERR_CONTAINER_ELSEWHERE'
  | 'ERR_STORE_NOT_FOUND'
  | 'ERR_STORE_REPLACED'
  | 'ERR_STORE_FORMAT'
  | 'ERR_STORE_DAMAGED'
  | 'ERR_STORE_BUSY'
  | 'ERR_LOCK_TIMEOUT'
  | 'ERR_CONTAINER_UNTRUSTED'
  | 'ERR_PLAN_OUTDATED'
  | 'ERR_CLOSED'
  // What a source offers
  | 'ERR_SOURCE_NOT_FOUND'
  | 'ERR_SOURCE_UNSUPPORTED'
  | 'ERR_SOURCE_MALFORMED'
  | 'ERR_PLATFORM_NOT_OFFERED'
  | 'ERR_UNSUPPORTED_MEDIA_TYPE'
  | 'ERR_BLOB_NOT_FOUND'
  | 'ERR_DIGEST_MISMATCH'
  | 'ERR_SIZE_MISMATCH'
  | 'ERR_DIFF_ID_MISMATCH'
  // What a registry answers
  | 'ERR_REGISTRY_CONFIG'
  | 'ERR_REGISTRY_UNREACHABLE'
  | 'ERR_REGISTRY_TLS'
  | 'ERR_REGISTRY_UNAUTHORIZED'
  | 'ERR_REGISTRY_DENIED'
  | 'ERR_REGISTRY_BUSY'
  | 'ERR_REGISTRY_FAILED'
  // What a layer holds
  | 'ERR_LAYER_MALFORMED'
  | 'ERR_LAYER_TRUNCATED'
  | 'ERR_UNSAFE_PATH'
  | 'ERR_LIMIT_EXCEEDED'
  // The machine
  | 'ERR_BACKEND_UNUSABLE'
  | 'ERR_BACKEND_LIMIT'
  | 'ERR_NATIVE_MISSING'
  | 'ERR_PERMISSION'
  | 'ERR_READ_ONLY'
  | 'ERR_NO_SPACE'
  | 'ERR_NO_DESCRIPTORS'
  | 'ERR_IO'
  | 'ERR_WORKER_DIED'
  // The caller changed its mind
  | 'ERR_ABORTED';

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

/** The one error class of this library. */
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
}

/** True when `error` is ours and carries one of `codes` (any code when none is named). */
export function isProvisionerError(error: unknown, ...codes: ErrorCode[]): error is ProvisionerError {
  return error instanceof ProvisionerError && (codes.length === 0 || codes.includes(error.code));
}

/** The system's own code (`ENOENT`, …) of an error thrown by Node or by our system calls; undefined for any other. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/**
 * What a call fails with for want of something that may be there again in a moment: space, descriptors, memory, a device that answers. Any other
 * code is what the kernel or the file system has to say of the thing itself.
 */
const SHORTAGES: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EDQUOT',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
  'EAGAIN',
  'EINTR',
  'EBUSY',
  'EIO',
  'ETIMEDOUT',
  'ESTALE',
]);

/** Whether an error tells of a shortage, in itself or, when it is ours, beneath. */
export function isShortage(error: unknown): boolean {
  return SHORTAGES.has(systemCode(error) ?? systemCode((error as Partial<Error>).cause) ?? '');
}

/** What went wrong in one line, of whatever was thrown. */
export function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
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
  if (error instanceof ProvisionerError) return error;
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
