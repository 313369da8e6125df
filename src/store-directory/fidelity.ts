import type { ProvisionerEmitter } from '../events.js';
import type { Marks } from '../files/tree/marks.js';
import { isOverlayFormat } from '../files/tree/whiteouts.js';
import { nativeMissing, whyNativeMissing } from '../system/syscalls/native-missing.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import { cutTimes } from './kept-times.js';
import type { OwnerWitness } from './owner-witness.js';
import { probeWhiteouts } from './probe-whiteouts.js';
import type { StoreFormat } from './store-format.js';

/** What a store gives up that is made without native system calls, and what one that has whiteouts which overlay does not read. */
const LOSES = 'layers lose their devices and extended attributes, and only the copy backend works';
const ONLY_COPIES = 'only the copy backend works';

/** Why a store keeps less of its images than this machine could, and what to do about it. */
export interface Degradation {
  readonly reason: string;
  readonly hint: string;
}

/**
 * Stands before what would be worse than it has to be: root on Linux keeps everything of an image, and mounts it, but only with native system calls.
 * @param deed what is about to be done, as an infinitive
 * @throws ProvisionerError `ERR_NATIVE_MISSING`, unless that was allowed
 */
export function requireNativeCalls(
  deed: string,
  syscalls: Syscalls,
  { allowDegraded = false }: { readonly allowDegraded?: boolean },
): void {
  if (allowDegraded || syscalls.kind === 'native' || !isRootOnLinux()) return;
  throw nativeMissing(
    `cannot ${deed} without native system calls (${whyNativeMissing()}): ${LOSES}, for as long as the store lives`,
    'allow it with --allow-degraded, allowDegraded',
  );
}

/** Root elsewhere has no such calls, and an ordinary user no use for them. */
function isRootOnLinux(): boolean {
  return process.platform === 'linux' && process.geteuid?.() === 0;
}

export interface FidelityNeeds {
  readonly format: StoreFormat;
  /** Of the store. */
  readonly marks: Pick<Marks, 'outOfReach' | 'require'>;
  readonly witness: Pick<OwnerWitness, 'leave'>;
  /** Begins the path of a directory in which can be tried what works. */
  readonly tryIn: () => string;
  readonly syscalls: () => Syscalls;
  readonly allowDegraded: boolean;
  readonly events: ProvisionerEmitter;
}

/**
 * Knows whether a store is degraded: root's, on Linux, with the whiteouts that an ordinary user has. That is decided when a store is made, and stays so
 * for all its layers, so whoever adds some is told. Found out when it is first asked for: a store that is not degraded costs nothing.
 */
export class Fidelity {
  readonly #needs: FidelityNeeds;
  #known: { readonly degradation: Degradation | undefined } | undefined;
  #told = false;
  #timesTried = false;

  constructor(needs: FidelityNeeds) {
    this.#needs = needs;
  }

  /** It has been said that layers are less than they could be, and that all there is are copies. */
  get isTold(): boolean {
    return this.#told;
  }

  /** Undefined for a store that is as good as this process could make it, and that this process can use. */
  degradation(): Degradation | undefined {
    this.#known ??= { degradation: this.#find() };
    return this.#known.degradation;
  }

  /**
   * To be called before layers are written: warns, once, that they will be less than they could be, and of times that the file system cuts.
   * @throws ProvisionerError `ERR_NATIVE_MISSING` where that is so because native system calls are missing, unless that was allowed;
   *   as `Marks.require`
   */
  beforeLayers(): void {
    this.#needs.marks.require('write layers');
    this.#needs.witness.leave();
    this.#tellCutTimes();
    if (this.#told) return;
    const degradation = this.degradation();
    const { syscalls, allowDegraded, events } = this.#needs;
    if (degradation === undefined) return;
    requireNativeCalls('write layers', syscalls(), { allowDegraded });
    this.#told = true;
    const code = syscalls().kind === 'native' ? 'STORE_DEGRADED' : 'NATIVE_MISSING';
    events.emit('warning', { code, message: `${degradation.reason}; ${degradation.hint}`, details: {} });
  }

  #tellCutTimes(): void {
    if (this.#timesTried) return;
    this.#timesTried = true;
    const { tryIn, syscalls, events } = this.#needs;
    const losses = cutTimes(tryIn(), syscalls());
    if (losses === undefined) return;
    events.emit('warning', {
      code: 'TIMES_CUT',
      message: `the file system of this store cannot keep the times of files as images have them: ${losses}; one that can is made by \`mkfs.ext4 -I 256\``,
      details: {},
    });
  }

  #find(): Degradation | undefined {
    const { format, marks, tryIn, syscalls } = this.#needs;
    const out = marks.outOfReach();
    if (out !== undefined && out.shortage === undefined) return out;
    if (isOverlayFormat(format.whiteouts) || !isRootOnLinux()) return undefined;
    if (syscalls().kind === 'native-free') {
      return {
        reason: `native system calls are missing (${whyNativeMissing()}), and the store was made without them: ${LOSES}`,
        hint: 'make them work, then convert the store as docs/cli.md tells at `info`',
      };
    }
    if (!isOverlayFormat(probeWhiteouts(tryIn(), syscalls()))) return undefined;
    return {
      reason: `this store was made without native system calls, or elsewhere: ${ONLY_COPIES}, and layers of then lack devices and extended attributes, though this machine can do better`,
      hint: 'to convert it: destroy its containers, move it away, and pull its images into a new one, as docs/cli.md tells at `info`',
    };
  }
}
