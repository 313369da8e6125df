import { HOLDING_MIGRATIONS } from '../holdings/holding-tables.js';
import { IMAGE_MIGRATIONS } from '../images/image-tables.js';
import { LAUNCH_MIGRATIONS } from '../launches/launch-tables.js';
import { LAYER_MIGRATIONS } from '../layers/layer-tables.js';
import { LEASE_MIGRATIONS } from '../leases/lease-tables.js';
import { PULL_MIGRATIONS } from '../pulls/pull-tables.js';
import { ROOTFS_MIGRATIONS } from '../rootfses/rootfs-tables.js';
import { STATE_MIGRATIONS } from '../state/state-tables.js';
import { VOLUME_MIGRATIONS } from '../volumes/volume-tables.js';
import type { Migration } from './migration.js';

/**
 * The records on disk: the sum of what the sections draw in their `…-tables.ts`, and how their tables point at each other.
 *
 *   image_document, image_name, index_choice ──► image ══╗
 *                                                        ╠══► stack ◄── stack_layer ══► layer
 *                   volume ◄══ volume_use ──► rootfs ═══╝
 *
 *   pull_layer ──► pull ──► lease ◄── lease_layer          layer_claim, pull_outcome, launch, launch_event, holding and state stand alone
 *
 * An arrow is a foreign key. A double one refuses to let go what it points at, and so keeps layers and volumes; a single one takes the row that points away with the one
 * that it points at.
 *
 * `key` numbers stand in for digests of 71 characters where many rows point at one. A process is written as `ProcessIdentity` gives it, a
 * time in milliseconds since the epoch, a stack from position 0 at the bottom.
 *
 * The version of the schema is one number for all sections, in `PRAGMA user_version`. A section that changes adds a step of the next version to its
 * migrations, other sections perhaps one of the same version; a released step never changes. Drawing and steps are changed together, and records of
 * the new version are kept, by `fixtures/make-records.mjs`, for those who open them later.
 */

/** Says in the file's header that it is ours: "prov". @see sqlite.org/fileformat.html, "Application ID" */
export const APPLICATION_ID = 0x70726f76;

/** A section comes after those that its tables point at: within a version, their steps are taken in this order. */
export const SECTION_MIGRATIONS: readonly (readonly Migration[])[] = [
  STATE_MIGRATIONS,
  LAYER_MIGRATIONS,
  IMAGE_MIGRATIONS,
  ROOTFS_MIGRATIONS,
  LEASE_MIGRATIONS,
  PULL_MIGRATIONS,
  LAUNCH_MIGRATIONS,
  HOLDING_MIGRATIONS,
  VOLUME_MIGRATIONS,
];
