import { isProvisionerError, type ProvisionerError } from '../base/errors.js';
import { isDigest } from '../image/digest.js';
import { type Descriptor, parseIndex } from '../image/manifest.js';
import type { Platform } from '../image/platform.js';
import type { BlobAccess } from './blob-access.js';
import { type Candidate, ManifestChooser, type Survey, UNUSABLE } from './choose-manifest.js';
import { ImageFailures } from './image-failures.js';
import { matchByName, type NamedEntry, namesOf, offeredNames } from './image-names.js';
import { OfferBudget } from './offer-budget.js';
import { offerFirst, offerImage } from './offer-image.js';
import type { Choices, OfferedImage, PullOptions } from './puller.js';
import { imageNotOffered, severalImages } from './source-errors.js';

const REF_NAME = 'org.opencontainers.image.ref.name';
const CONTAINERD_NAME = 'io.containerd.image.name';

interface IndexEntry extends NamedEntry {
  /** Undefined for one that makes no sense, which counts all the same where images are numbered. */
  readonly descriptor: Descriptor | undefined;
}

/** A manifest that fits, and the entries of the index that lead to it. */
interface Choice {
  readonly candidate: Candidate;
  /** What is taken in its place, should it turn out to be no image; best first. */
  readonly others: readonly Candidate[];
  readonly names: Set<string>;
  readonly label: string;
  /** For which there are images beside it. */
  readonly platforms: readonly Platform[];
  /** Somebody gave it a name, and nothing else has it: when it is no image, that is a failure. */
  readonly mustBeImage: boolean;
}

/**
 * The images of an `index.json`, in a directory or in an archive.
 *
 * Entries of one name are one image for several platforms, of which the best is taken; so are all entries without a name
 * (some builders write the platforms straight into `index.json`). What is left must be one image, unless all are wanted.
 * @param text of `index.json`
 * @param wanted `one` picks by `options.reference`, or takes the only one; `all` is for loading a whole archive
 */
export async function offerOciImages(
  text: string,
  blobs: BlobAccess,
  wanted: 'one' | 'all',
  options: PullOptions,
): Promise<Choices> {
  const { manifests, fault } = parseIndex(text, `index.json of ${blobs.label}`);
  const entries = manifests.map(toEntry);
  const chooser = new ManifestChooser(blobs, options.platform);
  const { reference, signal } = options;
  const failures = new ImageFailures(signal);
  const choices =
    reference === undefined
      ? await chooseByGroup(entries, chooser, fault, wanted === 'all' && entries.length > 1 ? failures : undefined)
      : await chooseNamed(entries, reference, chooser, blobs.label, fault);
  const isAmbiguous = wanted === 'one' && choices.length > 1;
  const several = () =>
    severalImages(blobs.label, new Map(choices.map((choice) => [choice.candidate.descriptor.digest, choice.label])));
  if (isAmbiguous && choices.filter(({ mustBeImage }) => mustBeImage).length > 1) throw several();
  const images: OfferedImage[] = [];
  const budget = new OfferBudget(blobs.label);
  let refusal: unknown;
  for (const { candidate, others, names, label, mustBeImage, platforms } of choices) {
    let image: OfferedImage;
    try {
      image = await offerFirst([candidate, ...others], async (each) => {
        const offered = await offerImage(blobs, each, [...names]);
        return each.root === offered.id ? offered : { ...offered, chosenFrom: each.root };
      });
    } catch (error) {
      // Without a name, or beside others of that name, it may be anything that lies beside the images.
      const mayBeOther = !mustBeImage && isProvisionerError(error, ...UNUSABLE);
      if (mayBeOther) refusal ??= error;
      else if (wanted === 'all' && entries.length > 1) failures.add(label, error);
      else throw error;
      continue;
    }
    budget.add(image);
    images.push(options.withChoice === true ? await withChoice(image, platforms, entries, blobs) : image);
    if (isAmbiguous && images.length > 1) throw several();
  }
  if (images.length === 0 && failures.all.length === 0) throw refusal;
  return { images, failures: failures.all };
}

/** Adds what it was chosen from. */
async function withChoice(
  image: OfferedImage,
  platforms: readonly Platform[],
  entries: readonly IndexEntry[],
  blobs: BlobAccess,
): Promise<OfferedImage> {
  const root = entries.find(({ descriptor }) => descriptor?.digest === image.chosenFrom)?.descriptor;
  const index = root === undefined ? undefined : await blobs.readDocument(root, 'the index');
  return { ...image, choice: { index, platforms } };
}

/**
 * @param fault of an entry that makes no sense: what is told when there is nothing else
 * @param failures of what cannot be looked at; where there is no such list, the first of them is thrown
 */
async function chooseByGroup(
  entries: readonly IndexEntry[],
  chooser: ManifestChooser,
  fault: ProvisionerError | undefined,
  failures?: ImageFailures,
): Promise<Choice[]> {
  const all: Survey = { candidates: [], offered: [], refusals: fault === undefined ? [] : [fault] };
  const choices: Choice[] = [];
  const foreign: { readonly key: string; readonly survey: Survey }[] = [];
  for (const [key, group] of groupEntries(entries)) {
    const failed = failures && ((error: unknown, { digest }: Descriptor) => failures.add(key || digest, error));
    const survey = await chooser.survey(descriptorsOf(group), failed);
    all.offered.push(...survey.offered);
    all.refusals.push(...survey.refusals);
    if (survey.candidates.length === 0) {
      // Somebody gave it a name: it is an image, and a broken one, which is not passed over for another.
      const broken = survey.refusals.find(({ code }) => code === 'ERR_SOURCE_MALFORMED');
      if (key !== '' && survey.offered.length === 0 && broken !== undefined) {
        if (failures === undefined) throw broken;
        failures.add(key, broken);
      }
      if (key !== '' && survey.offered.length > 0) foreign.push({ key, survey });
      continue;
    }
    const names = group.flatMap((entry) => entry.names);
    const found = choicesOf(chooser.best(survey));
    choices.push(
      ...found.map((choice) => ({
        ...choice,
        names: new Set(names),
        label: key || choice.candidate.descriptor.digest,
        mustBeImage: key !== '' && found.length === 1,
        platforms: survey.offered,
      })),
    );
  }
  if (choices.length === 0 && (failures?.all ?? []).length === 0) throw chooser.noCandidate(all);
  // What somebody gave a name, and is for other machines alone: who loads all is told.
  for (const { key, survey } of foreign) failures?.add(key, chooser.noCandidate(survey));
  return mergeByDigest(choices);
}

/** Two that fit equally in one index are one image written twice; else they are two images, also where somebody gave both the same name. */
function choicesOf([best, ...others]: readonly [Candidate, ...Candidate[]]): Pick<Choice, 'candidate' | 'others'>[] {
  const byRoot = new Map<string, { candidate: Candidate; others: Candidate[] }>();
  for (const candidate of [best, ...others]) {
    const choice = byRoot.get(candidate.root);
    if (choice === undefined) byRoot.set(candidate.root, { candidate, others: [] });
    else choice.others.push(candidate);
  }
  const choices = [...byRoot.values()].filter(({ candidate }) => candidate.fit === best.fit);
  return new Set(choices.map(({ candidate }) => candidate.descriptor.digest)).size === 1
    ? [{ candidate: best, others }]
    : choices;
}

async function chooseNamed(
  entries: readonly IndexEntry[],
  reference: string,
  chooser: ManifestChooser,
  label: string,
  fault: ProvisionerError | undefined,
): Promise<Choice[]> {
  // `app@sha256:…` too: the digest says which image, whatever the source calls it.
  const digest = reference.slice(reference.lastIndexOf('@') + 1);
  if (isDigest(digest)) return chooseByDigest(entries, digest, chooser, label);
  const matches = matchByName(entries, reference);
  if (matches.length === 0) throw imageNotOffered(label, reference, offeredNames(entries));
  return chooseByGroup(matches, chooser, fault);
}

/** A digest names an entry of `index.json`, or a manifest in an index below it. */
async function chooseByDigest(
  entries: readonly IndexEntry[],
  digest: string,
  chooser: ManifestChooser,
  label: string,
): Promise<Choice[]> {
  const direct = entries.filter((entry) => entry.descriptor?.digest === digest);
  const survey = await chooser.survey(descriptorsOf(direct.length > 0 ? direct : entries));
  const about = { label: digest, mustBeImage: true, platforms: survey.offered };
  if (direct.length > 0) {
    const [candidate, ...others] = chooser.best(survey);
    return [{ candidate, others, names: new Set(direct.flatMap((entry) => entry.names)), ...about }];
  }
  const candidate = survey.candidates.find(({ descriptor }) => descriptor.digest === digest);
  if (candidate === undefined) throw imageNotOffered(label, digest, offeredNames(entries));
  return [{ candidate, others: [], names: new Set(), ...about }];
}

function descriptorsOf(entries: readonly IndexEntry[]): Descriptor[] {
  return entries.map(({ descriptor }) => descriptor).filter((descriptor) => descriptor !== undefined);
}

/** The same image under two names is one image with two names. */
function mergeByDigest(choices: readonly Choice[]): Choice[] {
  const merged = new Map<string, Choice>();
  for (const choice of choices) {
    const earlier = merged.get(choice.candidate.descriptor.digest);
    if (earlier === undefined) merged.set(choice.candidate.descriptor.digest, choice);
    else for (const name of choice.names) earlier.names.add(name);
  }
  return [...merged.values()];
}

/** By the best name that an entry has; the empty key holds the nameless. */
function groupEntries(entries: readonly IndexEntry[]): Map<string, IndexEntry[]> {
  const groups = new Map<string, IndexEntry[]>();
  for (const entry of entries) {
    const key = entry.names[0] ?? entry.written[0] ?? '';
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [entry]);
    else group.push(entry);
  }
  return groups;
}

/** containerd's name is always a full one; the other may be a bare tag. */
function toEntry(descriptor: Descriptor | undefined): IndexEntry {
  const annotations = descriptor?.annotations ?? {};
  return { descriptor, ...namesOf([annotations[CONTAINERD_NAME], annotations[REF_NAME]]) };
}
