// JDBC's setTransactionIsolation and setSchema, and what stands in for them.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class JdbcSession {
    public static void main(String[] arguments) throws SQLException {
        boolean recommended = System.getenv("FORM").equals("recommended");
        // assumeMinServerVersion, so that connecting sends nothing that pins.
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE") + "?assumeMinServerVersion=9.0" + (recommended ? "&currentSchema=app" : "");
        try (Connection connection = DriverManager.getConnection(
                url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"));
                Statement statement = connection.createStatement()) {
            if (!recommended) {
                connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                connection.setSchema("app");
            }
            connection.setAutoCommit(false);
            expect("serializable", ask(statement, "SHOW transaction_isolation"));
            // Only the search path finds this table.
            expect("0", ask(statement, "SELECT count(*) FROM \"order\""));
            statement.execute("INSERT INTO public.basket (item) VALUES ('committed')");
            connection.commit();
            statement.execute("INSERT INTO public.basket (item) VALUES ('rolled back')");
            connection.rollback();
            System.out.println("version " + connection.getMetaData().getDriverVersion());
        }
    }

    private static String ask(Statement statement, String sql) throws SQLException {
        try (ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static void expect(String expected, String got) {
        if (!got.equals(expected)) {
            throw new AssertionError(got + " in place of " + expected);
        }
    }
}
