import { createContext, useContext, useSyncExternalStore } from "react";
import type { LiveConnection, LiveState } from "../api/liveConnection";
import type { Session } from "../api/types";

export const SessionContext = createContext<Session | null>(null);
export const LiveContext = createContext<LiveConnection | null>(null);

/** Who is signed in. Only below the layout, which waits for it. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("useSession is used outside the signed-in layout");
  return session;
}

export function useLive(): { state: LiveState; retryNow: () => void } {
  const connection = useContext(LiveContext);
  if (connection === null) throw new Error("useLive is used outside the signed-in layout");
  return { state: useSyncExternalStore(connection.subscribe, connection.snapshot), retryNow: connection.retryNow };
}
