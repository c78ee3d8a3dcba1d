import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.Objects;

/** The way of talking to tests/integration/real.py, in Java. */
final class Claims {
    static final String SOCKET = System.getenv("SOCKET");
    static final String GUARDED = System.getenv("GUARDED"); // asks for the password
    static final String PASSWORD = System.getenv("PASSWORD");
    private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

    interface Test {
        void run() throws Exception;
    }

    static void claim(String name, Test test) {
        try {
            test.run();
            System.out.println("ok " + name);
        } catch (Exception | AssertionError e) {
            e.printStackTrace();
            System.out.println("not ok " + name + ": " + e.toString().replaceAll("\\s+", " "));
        }
    }

    /** Of the daemon: stop, start, restart. Comes back when it is done. */
    static void ask(String what) throws IOException {
        System.out.println("ask " + what);
        if (!"done".equals(IN.readLine()))
            throw new IOException("the runner did not answer");
    }

    static void equal(Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted))
            throw new AssertionError(text(got) + ", not " + text(wanted));
    }

    private static String text(Object o) {
        String s = o instanceof Object[] many ? Arrays.deepToString(many) : String.valueOf(o);
        return s.length() > 300 ? s.substring(0, 300) + "..." : s;
    }

    static void isIn(String part, String whole) {
        if (!whole.contains(part))
            throw new AssertionError("\"" + part + "\" is not in \"" + whole + "\"");
    }

    static void fails(Class<? extends Exception> kind, String words, Test test) {
        try {
            test.run();
        } catch (Exception e) {
            if (!kind.isInstance(e))
                throw new AssertionError(e + ", no " + kind.getSimpleName());
            isIn(words, String.valueOf(e.getMessage()));
            return;
        }
        throw new AssertionError("no " + kind.getSimpleName());
    }

    interface Question {
        boolean ask() throws Exception;
    }

    static void until(Question question) throws Exception {
        for (long end = System.nanoTime() + 20_000_000_000L; !question.ask();)
            if (System.nanoTime() > end)
                throw new AssertionError("gave up waiting");
    }

    /** How many GET were served, by INFO commandstats. */
    static String gets(String stats) {
        return stats.replaceAll("(?s).*cmdstat_get:calls=(\\d+).*", "$1");
    }

    static byte[] large() {
        byte[] bytes = new byte[1 << 20];
        for (int i = 0; i < bytes.length; i++)
            bytes[i] = (byte) i;
        return bytes;
    }

    private Claims() {
    }
}
