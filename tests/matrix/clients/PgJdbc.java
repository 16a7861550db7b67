// pgjdbc.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;

public class PgJdbc {
    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE");
        if (System.getenv("FORM").equals("recommended")) {
            url += "?assumeMinServerVersion=9.0";
        }
        String user = System.getenv("PGUSER"), password = System.getenv("PGPASSWORD");
        for (int round = 0; round < 2; round++) {
            try (Connection connection = DriverManager.getConnection(url, user, password)) {
                repeat(connection);
            }
        }
        try (Connection connection = DriverManager.getConnection(url, user, password)) {
            connection.setAutoCommit(false);
            add(connection, "committed");
            connection.commit();
            add(connection, "rolled back");
            connection.rollback();
            add(connection, "failed");
            try (ResultSet none = connection.createStatement().executeQuery("SELECT 1 / (count(*) - 2) FROM basket")) {
                throw new AssertionError("the division by zero passed");
            } catch (SQLException error) {
                expect(error.getSQLState().equals("22012"), error.getMessage());
                connection.rollback();
            }
            // Rows come in portions, from a portal.
            try (PreparedStatement many = connection.prepareStatement("SELECT generate_series(1, 200)")) {
                many.setFetchSize(50);
                int rows = 0;
                for (ResultSet some = many.executeQuery(); some.next(); ) {
                    rows++;
                }
                expect(rows == 200, rows + " rows");
            }
            connection.commit();
            System.out.println("version " + connection.getMetaData().getDriverVersion());
        }
    }

    // From the fifth time on the server keeps it prepared.
    private static void repeat(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT ? + 1")) {
            for (int number = 0; number < 7; number++) {
                statement.setInt(1, number);
                try (ResultSet rows = statement.executeQuery()) {
                    expect(rows.next() && rows.getInt(1) == number + 1, "a wrong sum");
                }
            }
        }
    }

    private static void add(Connection connection, String item) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO basket (item) VALUES (?)")) {
            statement.setString(1, item);
            expect(statement.executeUpdate() == 1, "nothing was added");
        }
    }

    private static void expect(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }
}
