import "@mantine/core/styles.css";
import "./styles/global.css";
import { MantineProvider } from "@mantine/core";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { asApiError } from "./api/problem";
import { keys } from "./api/queries";
import { Toasts } from "./components/Toasts";
import { onUnauthenticated } from "./layouts/Shell";
import { createAppRouter } from "./routes";
import { colourScheme, cssVariables, theme } from "./theme";

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      if (asApiError(error).status === 401 && query.queryKey[0] !== keys.session[0]) onUnauthenticated(queries);
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 5000,
      // Only what may pass by itself is tried again; a refusal is an answer.
      retry: (count, error) => {
        const { status } = asApiError(error);
        return (status === 0 || status >= 502) && count < 2;
      },
      retryDelay: (attempt) => 400 * 2 ** attempt,
      // Whether the browser believes to be online says nothing of a controller on the same network.
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

const router = createAppRouter();
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} colorSchemeManager={colourScheme()} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
        <Toasts />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
