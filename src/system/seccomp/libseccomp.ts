import { koffi } from '../koffi.js';

/** The number is that of the binary interface. Debian: libseccomp2, on which crun and runc depend. */
const LIBRARY = 'libseccomp.so.2';

const library = loadLibrary();

/** What a filter is made in; belongs to the library. */
export type FilterContext = { readonly filterContext: never };

// All that return a number return that of an error, below zero. @see seccomp_init(3) and what it names
export const init = library.func('void *seccomp_init(uint32)') as (action: number) => FilterContext | null;
export const release = library.func('void seccomp_release(void *)') as (context: FilterContext) => void;
/** 0 for a name that it does not know. */
export const resolveArchitecture = library.func('uint32 seccomp_arch_resolve_name(const char *)') as (
  name: string,
) => number;
export const addArchitecture = library.func('int seccomp_arch_add(void *, uint32)') as (
  context: FilterContext,
  architecture: number,
) => number;
/** -1 for a name that it does not know, other numbers below zero for calls of other architectures. */
export const resolveSyscall = library.func('int seccomp_syscall_resolve_name(const char *)') as (
  name: string,
) => number;
export const addRule = library.func('int seccomp_rule_add_array(void *, uint32, int, uint, const void *)') as (
  context: FilterContext,
  action: number,
  syscall: number,
  count: number,
  /** `struct scmp_arg_cmp`: unsigned int arg, enum op, uint64_t datum_a, datum_b. */
  comparisons: Uint8Array | null,
) => number;
const rawExport = library.func('int seccomp_export_bpf(void *, int)').async as (...values: unknown[]) => void;
/** On another thread: it takes some 8 ms for a whole profile. */
export const exportBpf = (context: FilterContext, descriptor: number): Promise<number> =>
  new Promise((resolve, reject) => {
    rawExport(context, descriptor, (error: unknown, result: number) => (error ? reject(error) : resolve(result)));
  });

function loadLibrary(): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(LIBRARY);
  } catch (cause) {
    throw new Error(`${LIBRARY} cannot be loaded (Debian: libseccomp2)`, { cause });
  }
}
