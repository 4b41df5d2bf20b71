import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

export type SearchState = Record<string, string | undefined>;

/** The query part of the URL as the state of a page. A change replaces the entry of the history: filters are not pages. */
export function useSearchState(): [SearchState, (patch: SearchState) => void] {
  const state = useSearch({ strict: false }) as SearchState;
  const navigate = useNavigate();
  const set = useCallback(
    (patch: SearchState) => void navigate({ to: ".", search: ((before: SearchState) => ({ ...before, ...patch })) as never, replace: true, resetScroll: false }),
    [navigate],
  );
  return [state, set];
}
