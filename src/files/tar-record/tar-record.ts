/**
 * The tar record of a layer: with the files of its tree, what is needed to make the archive again that it was unpacked from, byte for byte. A record file (see
 * `record-file.ts`) whose blocks hold steps; no step goes over the end of a block. `docs/format.md` draws them.
 *
 *   archive   header ─ payload ─ padding ─ extended header ─ its data ─ header ─ payload ─ padding ─ … ─ end
 *   steps     BLOCK    PAYLOAD             BLOCK             BLOCK      BLOCK    PAYLOAD               BYTES
 */
export const TAR_RECORD_MAGIC = Buffer.from('provisioner tar 1\n');

/** What is next, in the low two bits of a step's first byte. */
export const STEP = 3;
/** 512 bytes that are no file's data. */
export const BLOCK = 0;
/** The data of a file of the tree, and the zeros that fill its last block. */
export const PAYLOAD = 1;
/** Any bytes. */
export const BYTES = 2;
/** The data of a payload whose file the tree does not have any more: nothing of the archive stands here. */
export const LOST = 3;

/** Of a BLOCK, its kind, times four. */
export const KIND_SHIFT = 2;
export const USUAL_CHECKSUM = 16;
/** Of a PAYLOAD: what its header does not say. */
export const OWN_PATH = 4;
export const OWN_LENGTH = 8;
export const SPARSE = 16;
/** Of BYTES. */
export const ZEROS = 4;
/** They stand for the zeros that would fill the last block of the payload before. */
export const PADDING = 8;

/** The record's last part. */
export interface TarRecordSummary {
  /** Bytes of the archive. */
  readonly size: number;
  /** Of those payloads that are lost the number, counted from 0, and where in the file the block stands that the first LOST step of its data is in. */
  readonly lost: readonly (readonly [payload: number, position: number])[];
}

/** A stretch of a file that has data in the archive. */
export interface DataSegment {
  readonly offset: number;
  readonly length: number;
}
