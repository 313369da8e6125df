/**
 * Does at the same time what waits for most of its time: for a pace, for a pause between two tries, for a limit that is set in seconds. Each has what it needs
 * for its own.
 * @param cases what each shows, as a sentence, and how
 * @throws once all have ended: what the first of those that failed has thrown, with its sentence
 */
export async function atOnce(cases: Readonly<Record<string, () => Promise<unknown>>>): Promise<void> {
  const entries = Object.entries(cases);
  const outcomes = await Promise.allSettled(entries.map(([, run]) => run()));
  const failed = entries.flatMap(([title], index) => {
    const outcome = outcomes[index];
    return outcome?.status === 'rejected' ? [{ title, error: outcome.reason as Error }] : [];
  });
  const [first] = failed;
  if (first === undefined) return;
  const others = failed.length === 1 ? '' : `, and ${failed.length - 1} more of these`;
  first.error.message = `${first.title}${others}: ${first.error.message}`;
  throw first.error;
}
